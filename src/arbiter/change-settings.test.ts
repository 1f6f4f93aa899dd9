import assert from 'node:assert/strict'
import { test } from 'node:test'
import { resolveSettings } from '../settings/resolve.ts'
import type { Settings } from '../settings/settings.ts'
import { decide } from './decide.ts'
import type { Action, Event } from './events.ts'
import { initialState, type State } from './state.ts'

const settings = (flags: Record<string, string> = {}): Settings =>
  resolveSettings({ flags: { workers: '2', recycleJitter: '0%', ...flags }, env: {}, cwd: '/srv', isTerminal: false })
    .settings

/** Two workers: the first is ready, the second boots. */
function started(flags: Record<string, string> = {}): State {
  const events: Event[] = [
    { type: 'start', at: 0 },
    { type: 'spawned', worker: 1, pid: 11, at: 0 },
    { type: 'spawned', worker: 2, pid: 12, at: 0 },
    { type: 'message', worker: 1, message: { type: 'ready', bootMs: 5, address: 'x', notes: [] }, at: 100 },
  ]
  return events.reduce((state, event) => decide(state, event).state, initialState(settings(flags), 1))
}

const change = (
  state: State,
  flags: Record<string, string>,
  at: number,
): { state: State; actions: readonly Action[] } => decide(state, { type: 'settings', settings: settings(flags), at })

test('changed recycling limits apply to running workers, each with its own jitter', () => {
  const { state } = change(started(), { maxRequests: '1000', recycleJitter: '50%' }, 1_000)
  const limits = state.workers.map(({ requestLimit }) => requestLimit)
  assert.equal(new Set(limits).size, 2)
  for (const limit of limits) assert.ok(limit >= 500 && limit <= 1_000, String(limit))
  // An unchanged limit is not drawn again.
  const later = change(state, { maxRequests: '1000', recycleJitter: '50%', maxLifetime: '1h' }, 2_000).state
  assert.deepEqual(
    later.workers.map(({ requestLimit }) => requestLimit),
    limits,
  )
  assert.ok(later.workers.every(({ lifetimeLimit }) => lifetimeLimit <= 3_600_000))
})

test('a changed boot timeout applies to booting workers, from their start', () => {
  const { actions } = change(started(), { bootTimeout: '5m' }, 10_000)
  assert.deepEqual(actions, [{ type: 'set-timer', timer: { of: 'boot', worker: 2 }, after: 290_000 }])
  // It has already passed.
  const [timer] = change(started(), { bootTimeout: '5s' }, 10_000).actions
  assert.deepEqual(timer, { type: 'set-timer', timer: { of: 'boot', worker: 2 }, after: 0 })
  assert.deepEqual(change(started(), { bootTimeout: '60s' }, 10_000).actions, [])
})

test('changed crash loop, restart delay and stop settings apply to the next failure', () => {
  const crash = (state: State, at: number): { state: State; actions: readonly Action[] } =>
    decide(state, { type: 'exited', worker: state.workers[0]?.id ?? 0, code: 1, signal: null, at })
  const state = { ...started(), phase: 'running' as const }
  const gaveUp = crash(change(state, { crashLimit: '1' }, 1_000).state, 2_000)
  assert.equal(gaveUp.state.exit?.code, 5)
  const delayed = crash(change(state, { restartDelayMin: '20s' }, 1_000).state, 2_000)
  assert.equal(delayed.state.nextSpawnAt, 22_000)
  const { actions } = decide(change(state, { stopTimeout: '50s' }, 1_000).state, {
    type: 'signal',
    signal: 'SIGTERM',
    at: 2_000,
  })
  assert.ok(
    actions.some((action) => action.type === 'set-timer' && action.timer.of === 'stop' && action.after === 50_000),
  )
})

test('a changed memory limit applies to the next sample', () => {
  const beat = (state: State, at: number): State =>
    decide(state, {
      type: 'message',
      worker: 1,
      message: { type: 'heartbeat', vitals: { rss: 100 * 2 ** 20 } as never },
      at,
    }).state
  let state: State = { ...started(), phase: 'running' }
  state = change(state, { maxMemory: '50MiB', maxMemorySamples: '2' }, 1_000).state
  state = beat(beat(state, 2_500), 4_000)
  assert.deepEqual(state.workers[0]?.recycling, { reason: 'memory', rss: 100 * 2 ** 20, limit: 50 * 2 ** 20 })
})
