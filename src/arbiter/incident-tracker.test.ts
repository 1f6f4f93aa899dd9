import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import type { Incident, StallEvidence } from '../diagnostics/incident.ts'
import { IncidentStore } from '../diagnostics/incident-store.ts'
import { createLog } from '../diagnostics/log.ts'
import type { FromMain, FromWatchdog } from '../ipc/messages.ts'
import { ms } from '../resilience/duration.ts'
import { resolveSettings } from '../settings/resolve.ts'
import { decide } from './decide.ts'
import type { Event } from './events.ts'
import { IncidentTracker } from './incident-tracker.ts'
import { initialState, type State } from './state.ts'

type Unstamped<T> = T extends unknown ? Omit<T, 'at'> : never

function evidence(stage: StallEvidence['stage'], stalledForMs: number): StallEvidence {
  return {
    stage,
    stalledForMs,
    stack: [{ function: 'verify', file: '/srv/src/login.ts', line: 42, column: 3 }],
    request: { method: 'POST', target: '/login', ageMs: stalledForMs },
    inFlight: [],
    inFlightCount: 15,
    kernel: { doing: 'spinning', cpuShare: 1, wchan: null, syscall: null, target: null, children: [] },
    loopLag: [],
    memory: { rss: 0, heapUsed: 0, heapLimit: 0 },
    allowBlocking: null,
  }
}

/** A tracker that gets events as from the arbiter, with a real store and log. */
class Bench {
  readonly #tracker: IncidentTracker
  readonly #store: IncidentStore
  readonly lines: Record<string, unknown>[] = []
  #state: State
  now = 10_000

  constructor(stateDir: string) {
    const { settings } = resolveSettings({
      flags: { workers: '2' },
      env: {},
      file: undefined,
      cwd: '/srv',
      isTerminal: false,
    })
    const stream = new PassThrough()
    stream.on('data', (chunk) =>
      this.lines.push(
        ...String(chunk)
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line)),
      ),
    )
    const log = createLog({ level: 'info', format: 'json', stream })
    this.#store = new IncidentStore({ ...settings, stateDir, log })
    this.#tracker = new IncidentTracker(this.#store, log, '/srv', '/srv/app.js')
    this.#state = initialState(settings, 1)
    this.happens({ type: 'start' })
    for (const id of [1, 2]) this.boots(id)
  }

  happens(event: Unstamped<Event>): void {
    const stamped = { ...event, at: this.now } as Event
    this.#tracker.recordEvent(stamped, this.#state)
    const { state, actions } = decide(this.#state, stamped)
    this.#state = state
    for (const action of actions)
      if (action.type === 'announce') this.#tracker.recordAnnouncement(action.what, state, this.now)
  }

  sends(worker: number, message: FromMain | FromWatchdog): void {
    this.happens({ type: 'message', worker, message })
  }

  boots(id: number): void {
    this.happens({ type: 'spawned', worker: id, pid: id + 5 })
    this.sends(id, { type: 'ready', bootMs: 1, address: 'a', notes: [] })
  }

  async incidents(): Promise<Incident[]> {
    await this.#tracker.flush()
    await this.#store.flush(ms(10_000))
    const all = await Promise.all((await this.#store.list()).map(({ id }) => this.#store.read(id)))
    return all.filter((incident) => incident !== undefined)
  }
}

async function withBench(run: (bench: Bench) => Promise<void>): Promise<void> {
  const stateDir = await mkdtemp(join(tmpdir(), 'punctual-tracker-'))
  try {
    await run(new Bench(stateDir))
  } finally {
    await rm(stateDir, { recursive: true })
  }
}

test('an interruption is one incident, in whichever order the messages of the worker arrive', async () => {
  const interrupted = {
    type: 'stall-interrupted',
    stalledForMs: 5_000,
    evidence: evidence('interrupt', 5_000),
  } as const
  const done = { type: 'interrupt-done', culprit: '503', others: 14 } as const
  for (const order of [
    [interrupted, done],
    [done, interrupted],
  ]) {
    await withBench(async (tracker) => {
      tracker.sends(2, { type: 'stall-reported', evidence: evidence('report', 1_000) })
      for (const message of order) tracker.sends(2, message)
      tracker.now += 212
      tracker.boots(3)
      tracker.sends(2, { type: 'interrupt-served', served: 14, others: 14 })
      tracker.happens({ type: 'exited', worker: 2, code: 0, signal: null })
      const [incident, ...more] = await tracker.incidents()
      assert.deepEqual(more, [])
      assert.partialDeepStrictEqual(incident, {
        kind: 'stall',
        worker: { id: 2, pid: 7, generation: 1 },
        outcome: 'interrupted',
        stalledForMs: 5_000,
        evidence: [{ stage: 'report' }, { stage: 'interrupt' }],
        culprit: '503',
        others: { inFlight: 14, served: 14 },
        replacement: { worker: 3, afterMs: 212 },
        exit: { code: 0, signal: null },
      })
      assert.partialDeepStrictEqual(tracker.lines.at(-1), {
        event: 'incident',
        incident: incident?.id,
        outcome: 'interrupted',
        msg: incident?.summary,
      })
    })
  }
})

test('a kill records why there was no interruption, the emergency responses, and the replacement', async () => {
  await withBench(async (tracker) => {
    tracker.sends(1, { type: 'stall-reported', evidence: evidence('report', 1_000) })
    tracker.sends(1, {
      type: 'interrupt-impossible',
      why: 'blocked-in-system-call',
      evidence: evidence('interrupt', 10_000),
    })
    const emergencyResponses = { inFlight: 40, unread: 1, closed: 2, tookMs: 3 }
    tracker.sends(1, { type: 'killing', why: 'stall', evidence: evidence('kill', 15_000), emergencyResponses })
    tracker.happens({ type: 'exited', worker: 1, code: null, signal: 'SIGKILL' })
    tracker.now += 400
    tracker.happens({ type: 'timer', timer: { of: 'spawn' } })
    tracker.boots(3)
    const [incident] = await tracker.incidents()
    assert.partialDeepStrictEqual(incident, {
      outcome: 'killed',
      stalledForMs: 15_000,
      notInterrupted: 'blocked-in-system-call',
      emergencyResponses,
      replacement: { worker: 3, afterMs: 400 },
    })
  })
})

test('a worker of a generation that was dropped is not replaced by one of the serving generation', async () => {
  await withBench(async (tracker) => {
    tracker.happens({ type: 'signal', signal: 'SIGHUP' })
    tracker.happens({ type: 'exited', worker: 3, code: 1, signal: null })
    tracker.happens({ type: 'exited', worker: 4, code: null, signal: 'SIGKILL' })
    tracker.happens({ type: 'exited', worker: 1, code: 1, signal: null })
    tracker.now += 400
    tracker.happens({ type: 'timer', timer: { of: 'spawn' } })
    tracker.boots(5)
    const incidents = await tracker.incidents()
    assert.deepEqual(
      Object.fromEntries(incidents.map(({ worker, kind, replacement }) => [worker?.id, [kind, replacement]])),
      { 1: ['crash', { worker: 5, afterMs: 400 }], 3: ['boot', undefined] },
    )
  })
})

test('a worker killed at its stop timeout is an incident with what it waited for', async () => {
  await withBench(async (tracker) => {
    tracker.happens({ type: 'signal', signal: 'SIGTERM' })
    const emergencyResponses = { inFlight: 1, unread: 0, closed: 0, tookMs: 3 }
    const waitingFor = ['1 timer']
    tracker.sends(1, { type: 'lingering', notice: 'SIGTERM', waitingFor })
    tracker.happens({ type: 'timer', timer: { of: 'stop', worker: 1 } })
    tracker.sends(1, { type: 'killing', why: 'stop-timeout', evidence: null, emergencyResponses })
    const [incident] = await tracker.incidents()
    assert.partialDeepStrictEqual(incident, { kind: 'stop-timeout', outcome: 'killed', waitingFor })
    assert.partialDeepStrictEqual(
      tracker.lines.find(({ event }) => event === 'worker-lingering'),
      { level: 'warn', worker: 1, waitingFor },
    )
    assert.partialDeepStrictEqual(tracker.lines.at(-1), {
      level: 'warn',
      event: 'worker-killed',
      worker: 1,
      workerPid: 6,
      reason: 'stop-timeout',
      emergencyResponses,
    })
  })
})

test('a worker whose heartbeats end before its process does was not lost', async () => {
  await withBench(async (tracker) => {
    const vitals = { rss: 1, inFlight: 0, connections: 0, heartbeatAgeMs: 0 } as never
    for (const id of [1, 2]) tracker.sends(id, { type: 'heartbeat', vitals })
    tracker.happens({ type: 'signal', signal: 'SIGTERM' })
    for (let i = 0; i < 6; i++) {
      tracker.happens({ type: 'tick' })
      tracker.now += 500
    }
    tracker.happens({ type: 'exited', worker: 1, code: 0, signal: null })
    tracker.happens({ type: 'exited', worker: 2, code: 3, signal: null })
    const outcomes = (await tracker.incidents()).map(({ kind, worker, outcome }) => [kind, worker?.id, outcome])
    assert.deepEqual(outcomes.toSorted(), [
      ['frozen', 1, 'ended'],
      ['frozen', 2, 'exited'],
    ])
  })
})

test('a worker that the arbiter kills at its boot timeout was killed', async () => {
  await withBench(async (tracker) => {
    tracker.happens({ type: 'exited', worker: 2, code: 1, signal: null })
    tracker.now += 1_000
    tracker.happens({ type: 'timer', timer: { of: 'spawn' } })
    tracker.now += 60_000
    tracker.happens({ type: 'timer', timer: { of: 'boot', worker: 3 } })
    tracker.happens({ type: 'exited', worker: 3, code: null, signal: 'SIGKILL' })
    const [incident] = await tracker.incidents()
    assert.partialDeepStrictEqual(incident, { kind: 'boot', outcome: 'killed', stalledForMs: 60_000 })
  })
})

test('a note of the boot is logged once, not for every worker', async () => {
  await withBench(async (tracker) => {
    for (const id of [1, 2])
      tracker.sends(id, {
        type: 'ready',
        bootMs: 1,
        address: 'a',
        notes: [{ event: 'shared-socket', message: 'x does not apply' }],
      })
    await tracker.incidents()
    assert.deepEqual(
      tracker.lines.map(({ event, msg }) => [event, msg]),
      [['shared-socket', 'x does not apply']],
    )
  })
})
