import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { StallEvidence } from '../diagnostics/incident.ts'
import { NO_OUTCOMES } from '../diagnostics/outcomes.ts'
import type { Vitals } from '../ipc/messages.ts'
import { resolveSettings } from '../settings/resolve.ts'
import type { Settings } from '../settings/settings.ts'
import { decide } from './decide.ts'
import type { Action, Event } from './events.ts'
import { initialState, isReady, type Life, type State } from './state.ts'

function settings(flags: Record<string, string> = {}): Settings {
  return resolveSettings({
    flags: { workers: '2', ...flags },
    env: {},
    file: undefined,
    cwd: '/srv',
    isTerminal: false,
  }).settings
}

const VITALS: Vitals = {
  heartbeatAgeMs: 0,
  loopLagMs: 0,
  requests: 0,
  inFlight: 0,
  connections: 0,
  outcomes: NO_OUTCOMES,
  waiting: 0,
  wouldBeShed: 0,
  overloaded: false,
  abandonedOperations: 0,
  rss: 50_000_000,
  heapUsed: 1,
  heapLimit: 100,
  debugged: false,
}

const EVIDENCE: StallEvidence = {
  stage: 'report',
  stalledForMs: 1_000,
  stack: null,
  request: null,
  inFlight: [],
  inFlightCount: 0,
  kernel: null,
  loopLag: [],
  memory: { rss: 0, heapUsed: 0, heapLimit: 0 },
  allowBlocking: null,
}

const ERROR = { name: 'Error', message: 'no', stack: 'Error: no' }

type Unstamped<T> = T extends unknown ? Omit<T, 'at'> : never

/** An arbiter without processes: takes events and collects actions. */
class Bench {
  state: State
  now = 1_000
  actions: Action[] = []

  constructor(flags: Record<string, string> = {}) {
    this.state = initialState(settings(flags), 42)
    this.does({ type: 'start' })
  }

  does(event: Unstamped<Event>): readonly Action[] {
    const decision = decide(this.state, { ...event, at: this.now } as Event)
    this.state = decision.state
    this.actions.push(...decision.actions)
    return decision.actions
  }

  ready(id: number): readonly Action[] {
    this.does({ type: 'spawned', worker: id, pid: 100 + id })
    this.beats(id)
    return this.does({
      type: 'message',
      worker: id,
      message: { type: 'ready', bootMs: 5, address: '127.0.0.1:3000', notes: [] },
    })
  }

  beats(id: number, vitals: Partial<Vitals> = {}): readonly Action[] {
    return this.does({ type: 'message', worker: id, message: { type: 'heartbeat', vitals: { ...VITALS, ...vitals } } })
  }

  /** A second passes in which ready workers send heartbeats. */
  settles(): readonly Action[] {
    const before = this.actions.length
    this.now += 1_000
    for (const { id, life } of this.state.workers) {
      if (life !== 'ready') continue
      this.beats(id)
      this.does({ type: 'message', worker: id, message: { type: 'settled' } })
    }
    this.does({ type: 'tick' })
    return this.actions.slice(before)
  }

  exits(id: number, code: number | null = 1, signal: string | null = null): readonly Action[] {
    return this.does({ type: 'exited', worker: id, code, signal })
  }

  /** Two workers, ready. */
  static running(flags: Record<string, string> = {}): Bench {
    const bench = new Bench(flags)
    for (const { id } of bench.state.workers) bench.ready(id)
    assert.equal(bench.state.phase, 'running')
    bench.actions = []
    return bench
  }

  life(id: number): Life | 'exited' {
    return this.state.workers.find((worker) => worker.id === id)?.life ?? 'exited'
  }
}

function of<T extends Action['type']>(actions: readonly Action[], type: T): Extract<Action, { type: T }>[] {
  return actions.filter((action): action is Extract<Action, { type: T }> => action.type === type)
}

const announced = (actions: readonly Action[]): string[] => of(actions, 'announce').map(({ what }) => what.of)

describe('boot', () => {
  test('starts to serve although one worker stalls while the last becomes ready', () => {
    const bench = new Bench()
    const [first, second] = bench.state.workers.map(({ id }) => id) as [number, number]
    bench.ready(first)
    bench.does({ type: 'message', worker: first, message: { type: 'stall-reported', evidence: EVIDENCE } })
    bench.ready(second)
    assert.equal(bench.state.phase, 'starting')
    bench.does({
      type: 'message',
      worker: first,
      message: { type: 'stall-ended', stalledForMs: 1_200, evidence: null },
    })
    assert.equal(bench.state.phase, 'running')
    assert.ok(bench.actions.some((action) => action.type === 'announce' && action.what.of === 'running'))
  })

  test('the start spawns the wanted number of workers, each with a boot timeout', () => {
    const bench = new Bench({ workers: '3' })
    assert.deepEqual(
      of(bench.actions, 'spawn').map(({ worker }) => worker),
      [1, 2, 3],
    )
    assert.equal(of(bench.actions, 'set-timer').filter(({ timer }) => timer.of === 'boot').length, 3)
  })

  test('a worker goes from spawned to booting to ready', () => {
    const bench = new Bench()
    bench.does({ type: 'spawned', worker: 1, pid: 7 })
    assert.equal(bench.life(1), 'spawned')
    bench.beats(1)
    assert.equal(bench.life(1), 'booting')
    assert.equal(isReady(bench.state), false)
    bench.does({ type: 'message', worker: 1, message: { type: 'ready', bootMs: 5, address: 'a', notes: [] } })
    assert.equal(bench.life(1), 'ready')
    assert.equal(isReady(bench.state), true)
    assert.equal(bench.state.phase, 'starting')
  })

  test('a first generation that cannot boot ends the arbiter with code 3 and the reason', () => {
    const bench = new Bench()
    bench.does({ type: 'message', worker: 1, message: { type: 'boot-failed', error: ERROR } })
    const actions = bench.exits(1)
    assert.deepEqual(
      of(actions, 'kill').map(({ worker }) => worker),
      [2],
    )
    assert.deepEqual(of(bench.exits(2, null, 'SIGKILL'), 'exit'), [{ type: 'exit', code: 3, why: 'Error: no' }])
  })

  test('a boot failure is retried if another worker serves', () => {
    const bench = new Bench()
    bench.ready(1)
    const actions = bench.exits(2)
    assert.deepEqual(of(actions, 'exit'), [])
    assert.equal(bench.state.restarts.boot, 1)
    bench.now += 100
    assert.equal(of(bench.does({ type: 'timer', timer: { of: 'spawn' } }), 'spawn').length, 1)
  })

  test('a worker that is not ready at the boot timeout is killed with the reason boot', () => {
    const bench = new Bench()
    bench.ready(1)
    bench.beats(2)
    assert.deepEqual(of(bench.does({ type: 'timer', timer: { of: 'boot', worker: 2 } }), 'kill'), [
      { type: 'kill', worker: 2, why: 'boot', gently: true },
    ])
    bench.exits(2, null, 'SIGKILL')
    assert.deepEqual(bench.state.restarts, { boot: 1 })
  })

  test('a boot under a debugger gets more time', () => {
    const bench = new Bench()
    bench.beats(1, { debugged: true })
    const actions = bench.does({ type: 'timer', timer: { of: 'boot', worker: 1 } })
    assert.deepEqual(of(actions, 'kill'), [])
    assert.equal(of(actions, 'set-timer').length, 1)
  })

  test('a process that cannot be started counts as a failure', () => {
    const bench = Bench.running()
    bench.exits(1)
    bench.now += 100
    bench.does({ type: 'timer', timer: { of: 'spawn' } })
    bench.does({ type: 'spawn-failed', worker: 3, why: 'EAGAIN' })
    assert.equal(bench.state.restarts.spawn, 1)
    assert.equal(bench.life(3), 'exited')
  })
})

describe('failures', () => {
  test('the restart delay doubles up to its maximum and is reset after a time without failure', () => {
    const bench = Bench.running({ crashLimit: 'unbounded' })
    const delays: number[] = []
    for (let round = 0; round < 12; round++) {
      const worker = bench.state.workers.find(({ life }) => life === 'ready' || life === 'spawned')
      assert.ok(worker)
      const failedAt = bench.now
      bench.exits(worker.id)
      delays.push(Math.round(bench.state.nextSpawnAt - failedAt))
      bench.now = bench.state.nextSpawnAt
      bench.does({ type: 'timer', timer: { of: 'spawn' } })
      bench.exits(bench.state.workers[0]?.id ?? 0)
      bench.now = bench.state.nextSpawnAt
      for (const { id } of [...bench.state.workers]) bench.ready(id)
      bench.does({ type: 'timer', timer: { of: 'spawn' } })
    }
    assert.equal(delays[0], 100)
    assert.ok(
      delays.every((delay, i) => i === 0 || delay >= (delays[i - 1] ?? 0)),
      String(delays),
    )
    assert.equal(delays.at(-1), 30_000)
    bench.now += 31_000
    const at = bench.now
    bench.exits(bench.state.workers.at(-1)?.id ?? 0)
    assert.equal(bench.state.nextSpawnAt - at, 100)
  })

  test('workers that fail together count once towards a crash loop', () => {
    const bench = new Bench({ workers: '8', crashLimit: '3' })
    for (const { id } of bench.state.workers) bench.ready(id)
    bench.now += 1
    for (const { id } of [...bench.state.workers]) bench.exits(id)
    assert.equal(bench.state.phase, 'running')
    assert.equal(bench.state.restarts.crash, 8)
    assert.equal(bench.state.failures.length, 1)
  })

  test('a crash loop ends the arbiter with code 5 and counts of the reasons', () => {
    const bench = Bench.running({ crashLimit: '3' })
    for (let round = 0; round < 3; round++) {
      bench.now = Math.max(bench.now + 1, bench.state.nextSpawnAt)
      bench.does({ type: 'timer', timer: { of: 'spawn' } })
      bench.exits(Math.max(...bench.state.workers.map(({ id }) => id)))
    }
    const loop = of(bench.actions, 'announce').find(({ what }) => what.of === 'crash-loop')
    assert.deepEqual(loop?.what, { of: 'crash-loop', reasons: { crash: 1, boot: 2 } })
    for (const { id } of [...bench.state.workers]) bench.exits(id, null, 'SIGKILL')
    assert.equal(of(bench.actions, 'exit')[0]?.code, 5)
  })

  test('each kind of exit has its own reason', () => {
    const reasonOf = (act: (bench: Bench) => void): string[] => {
      const bench = Bench.running()
      act(bench)
      return Object.keys(bench.state.restarts)
    }
    assert.deepEqual(
      reasonOf((b) => b.exits(1, 1)),
      ['crash'],
    )
    assert.deepEqual(
      reasonOf((b) => b.exits(1, null, 'SIGKILL')),
      ['killed-externally'],
    )
    assert.deepEqual(
      reasonOf((b) => b.exits(1, null, 'SIGABRT')),
      ['crash'],
    )
    assert.deepEqual(
      reasonOf((b) => {
        b.beats(1, { heapUsed: 95 })
        b.exits(1, null, 'SIGABRT')
      }),
      ['out-of-memory'],
    )
    assert.deepEqual(
      reasonOf((b) => {
        const emergencyResponses = { inFlight: 0, unread: 0, closed: 0, tookMs: 0 }
        b.does({
          type: 'message',
          worker: 1,
          message: { type: 'killing', why: 'stall', evidence: null, emergencyResponses },
        })
        b.exits(1, null, 'SIGKILL')
      }),
      ['stall'],
    )
  })

  test('a worker that reports a crash is replaced once it has exited', () => {
    const bench = Bench.running()
    assert.deepEqual(
      of(bench.does({ type: 'message', worker: 1, message: { type: 'crashing', error: ERROR } }), 'spawn'),
      [],
    )
    bench.exits(1)
    bench.now += 100
    assert.equal(of(bench.does({ type: 'tick' }), 'spawn').length, 1)
  })
})

describe('stalls', () => {
  test('a stalled worker does not count as ready until the stall ends', () => {
    const bench = Bench.running({ workers: '1' })
    bench.does({ type: 'message', worker: 1, message: { type: 'stall-reported', evidence: EVIDENCE } })
    assert.equal(bench.life(1), 'stalled')
    assert.equal(isReady(bench.state), false)
    bench.does({ type: 'message', worker: 1, message: { type: 'stall-ended', stalledForMs: 1_500, evidence: null } })
    assert.equal(isReady(bench.state), true)
    assert.deepEqual(of(bench.actions, 'spawn'), [])
  })

  test('an interrupted worker drains when its replacement is ready', () => {
    const bench = Bench.running()
    const interrupted = bench.does({
      type: 'message',
      worker: 1,
      message: { type: 'stall-interrupted', stalledForMs: 1, evidence: EVIDENCE },
    })
    assert.deepEqual(of(interrupted, 'spawn'), [{ type: 'spawn', worker: 3, generation: 1, replaces: 1 }])
    assert.deepEqual(of(interrupted, 'drain'), [])
    assert.equal(bench.state.workers.find(({ id }) => id === 1)?.tainted, true)
    assert.deepEqual(
      of(bench.ready(3), 'drain').map(({ worker }) => worker),
      [1],
    )
    bench.exits(1, 0)
    assert.deepEqual(bench.state.restarts, {})
  })

  test('a replacement that cannot boot is retried, and the interrupted worker stays meanwhile', () => {
    const bench = Bench.running()
    bench.does({
      type: 'message',
      worker: 1,
      message: { type: 'stall-interrupted', stalledForMs: 1, evidence: EVIDENCE },
    })
    bench.exits(3)
    assert.equal(bench.life(1), 'ready')
    bench.now += 100
    assert.deepEqual(of(bench.does({ type: 'timer', timer: { of: 'spawn' } }), 'spawn'), [
      { type: 'spawn', worker: 4, generation: 1, replaces: 1 },
    ])
  })

  test('a worker without heartbeats is reported as frozen, then killed by the arbiter', () => {
    const bench = Bench.running()
    for (let i = 0; i < 10; i++) {
      bench.now += 500
      bench.beats(2)
      bench.does({ type: 'tick' })
    }
    assert.equal(bench.life(1), 'stalled')
    assert.deepEqual(announced(bench.actions), ['frozen'])
    for (let i = 0; i < 40; i++) {
      bench.now += 500
      bench.beats(2)
      bench.does({ type: 'tick' })
    }
    assert.deepEqual(of(bench.actions, 'kill'), [{ type: 'kill', worker: 1, why: 'frozen', gently: false }])
    bench.exits(1, null, 'SIGKILL')
    assert.deepEqual(bench.state.restarts, { frozen: 1 })
  })

  test('time in which the arbiter itself did not run does not count against workers', () => {
    const bench = Bench.running()
    bench.does({ type: 'tick' })
    bench.now += 600_000
    assert.deepEqual(of(bench.does({ type: 'tick' }), 'kill'), [])
    assert.equal(bench.life(1), 'ready')
  })

  test('a frozen worker that sends heartbeats again is ready again', () => {
    const bench = Bench.running()
    for (let i = 0; i < 6; i++) {
      bench.now += 500
      bench.does({ type: 'tick' })
    }
    assert.equal(bench.life(1), 'stalled')
    assert.deepEqual(announced(bench.beats(1)), ['unfrozen'])
    assert.equal(bench.life(1), 'ready')
  })
})

describe('recycling', () => {
  test('workers that reach their request limit are replaced one at a time, the replacement first', () => {
    const bench = Bench.running({ maxRequests: '100', recycleJitter: '0%' })
    assert.equal(of(bench.beats(1, { requests: 99 }), 'spawn').length, 0)
    assert.deepEqual(of(bench.beats(1, { requests: 100 }), 'spawn'), [
      { type: 'spawn', worker: 3, generation: 1, replaces: 1 },
    ])
    assert.equal(of(bench.beats(2, { requests: 500 }), 'spawn').length, 0)
    assert.deepEqual(
      of(bench.ready(3), 'drain').map(({ worker }) => worker),
      [1],
    )
    assert.equal(of(bench.beats(2, { requests: 500 }), 'spawn').length, 1)
  })

  test('jitter lowers the limit and never raises it', () => {
    const bench = new Bench({ workers: '16', maxRequests: '1000', recycleJitter: '10%' })
    const limits = bench.state.workers.map(({ requestLimit }) => requestLimit)
    assert.ok(
      limits.every((limit) => limit >= 900 && limit <= 1_000),
      String(limits),
    )
    assert.ok(new Set(limits).size > 8, String(limits))
  })

  test('memory must exceed its limit for the set number of consecutive samples', () => {
    const bench = Bench.running({ maxMemory: '100MiB', maxMemorySamples: '3' })
    const sample = (rss: number): boolean => {
      bench.now += 1_000
      return announced(bench.beats(1, { rss })).includes('recycling')
    }
    assert.deepEqual([200e6, 200e6, 50e6, 200e6, 200e6, 200e6].map(sample), [false, false, false, false, false, true])
  })

  /** Two hours in which every ready worker uses so much, and each replacement boots at once. */
  function twoHoursAt(
    bench: Bench,
    rssAfter: (ageMs: number) => number,
  ): { spawned: number; reports: readonly Action[] } {
    const before = bench.actions.length
    for (let second = 0; second < 7_200; second += 5) {
      bench.now += 5_000
      for (const { id, life, readyAt } of bench.state.workers) {
        if (life === 'spawned') bench.ready(id)
        else if (life === 'draining') bench.exits(id, 0)
        else bench.beats(id, { rss: rssAfter(bench.now - (readyAt ?? 0)) })
      }
    }
    const actions = bench.actions.slice(before)
    const reports = of(actions, 'announce').filter(({ what }) => what.of === 'max-memory-too-low')
    return { spawned: of(actions, 'spawn').length, reports }
  }

  test('maxMemory below what a new worker uses is reported once, with the figure, and replacing backs off', () => {
    const bench = Bench.running({ maxMemory: '100MiB' })
    const { spawned, reports } = twoHoursAt(bench, () => 200e6)
    assert.ok(spawned >= 3 && spawned <= 8, String(spawned))
    assert.equal(reports.length, 1)
    assert.deepEqual(reports[0]?.type === 'announce' && 'rss' in reports[0].what && reports[0].what.rss, 200e6)
  })

  test('so does memory that workers need soon after they are ready', () => {
    const bench = Bench.running({ maxMemory: '100MiB' })
    const { spawned, reports } = twoHoursAt(bench, (age) => (age < 10_000 ? 50e6 : 200e6))
    assert.ok(spawned >= 3 && spawned <= 8, String(spawned))
    assert.equal(reports.length, 1)
  })

  test('a leak is no reason to back off: each worker is replaced when it exceeds maxMemory', () => {
    const bench = Bench.running({ maxMemory: '100MiB' })
    const { spawned, reports } = twoHoursAt(bench, (age) => (age < 600_000 ? 50e6 : 200e6))
    assert.ok(spawned >= 16, String(spawned))
    assert.equal(reports.length, 0)
  })

  test('a worker that reaches its lifetime is replaced', () => {
    const bench = Bench.running({ maxLifetime: '1h', recycleJitter: '0%' })
    bench.now += 3_600_000
    assert.deepEqual(announced(bench.beats(1)), ['recycling'])
  })
})

describe('reload', () => {
  test('the new generation is ready before the old one drains', () => {
    const bench = Bench.running()
    const begun = bench.does({ type: 'command', id: 1, command: { name: 'reload' } })
    assert.deepEqual(
      of(begun, 'spawn').map(({ generation }) => generation),
      [2, 2],
    )
    assert.deepEqual(of(bench.ready(3), 'drain'), [])
    assert.deepEqual(of(bench.ready(4), 'drain'), [])
    const done = bench.settles()
    assert.deepEqual(
      of(done, 'drain').map(({ worker }) => worker),
      [1, 2],
    )
    assert.deepEqual(
      of(done, 'reply').map(({ command, ok }) => ({ command, ok })),
      [{ command: 1, ok: true }],
    )
    assert.equal(bench.state.generation, 2)
  })

  test('a new generation that cannot boot is dropped, and the command fails with the reason', () => {
    const bench = Bench.running()
    bench.does({ type: 'command', id: 1, command: { name: 'reload' } })
    bench.ready(3)
    bench.does({ type: 'message', worker: 4, message: { type: 'boot-failed', error: ERROR } })
    const dropped = bench.exits(4)
    assert.deepEqual(
      of(dropped, 'drain').map(({ worker }) => worker),
      [3],
    )
    const [reply] = of(dropped, 'reply')
    assert.equal(reply?.ok, false)
    assert.deepEqual(reply?.details, {
      generation: 2,
      serving: 1,
      reason: 'boot',
      why: 'Error: no',
      exit: { code: 1, signal: null },
    })
    assert.deepEqual(bench.state.restarts, {})
    assert.deepEqual([bench.life(1), bench.life(2)], ['ready', 'ready'])
  })

  test('a new generation that fails before it has settled is dropped', () => {
    const bench = Bench.running()
    bench.does({ type: 'command', id: 1, command: { name: 'reload' } })
    bench.ready(3)
    bench.ready(4)
    bench.now += 10_000
    for (const id of [3, 4]) bench.beats(id)
    assert.deepEqual(of(bench.does({ type: 'tick' }), 'reply'), [])
    const dropped = bench.exits(3, 7)
    assert.partialDeepStrictEqual(of(dropped, 'reply')[0]?.details, {
      serving: 1,
      reason: 'crash',
      exit: { code: 7, signal: null },
    })
    assert.deepEqual([bench.life(1), bench.life(2)], ['ready', 'ready'])
  })

  test('an old worker that dies during a reload is replaced meanwhile', () => {
    const bench = Bench.running()
    bench.does({ type: 'command', id: 1, command: { name: 'reload' } })
    assert.deepEqual(of(bench.exits(1), 'spawn'), [])
    bench.now += 100
    assert.deepEqual(
      of(bench.does({ type: 'timer', timer: { of: 'spawn' } }), 'spawn').map(({ generation }) => generation),
      [1],
    )
    bench.ready(5)
    bench.ready(3)
    bench.ready(4)
    assert.deepEqual(
      of(bench.settles(), 'drain').map(({ worker }) => worker),
      [2, 5],
    )
  })

  test('reloads run one after the other, and every command is answered', () => {
    const bench = Bench.running()
    bench.does({ type: 'command', id: 1, command: { name: 'reload' } })
    bench.does({ type: 'command', id: 2, command: { name: 'reload' } })
    bench.does({ type: 'signal', signal: 'SIGHUP' })
    bench.does({ type: 'signal', signal: 'SIGHUP' })
    const generationsAfter = (...ids: number[]): number[] => {
      for (const id of ids) bench.ready(id)
      return of(bench.settles(), 'spawn').map(({ generation }) => generation)
    }
    assert.deepEqual(generationsAfter(3, 4), [3, 3])
    assert.deepEqual(generationsAfter(5, 6), [4, 4])
    assert.deepEqual(generationsAfter(7, 8), [])
    assert.deepEqual(
      of(bench.actions, 'reply').map(({ command, ok }) => [command, ok]),
      [
        [1, true],
        [2, true],
      ],
    )
  })

  test('a reload before the first generation serves is refused', () => {
    const bench = new Bench()
    assert.equal(of(bench.does({ type: 'command', id: 1, command: { name: 'reload' } }), 'reply')[0]?.ok, false)
  })

  test('a SIGHUP before the first generation serves is kept until it does', () => {
    const bench = new Bench()
    bench.does({ type: 'signal', signal: 'SIGHUP' })
    bench.ready(1)
    assert.deepEqual(
      of(bench.ready(2), 'spawn').map(({ generation }) => generation),
      [2, 2],
    )
  })

  test('scaling during a reload applies to the new generation', () => {
    const bench = Bench.running()
    bench.does({ type: 'command', id: 1, command: { name: 'reload' } })
    bench.does({ type: 'command', id: 2, command: { name: 'scale', change: { to: 3 } } })
    bench.ready(3)
    bench.ready(4)
    bench.settles()
    assert.equal(bench.state.generation, 1)
    bench.ready(5)
    bench.settles()
    assert.equal(bench.state.generation, 2)
  })
})

describe('scale', () => {
  test('scaling spawns or drains workers and is answered', () => {
    const bench = Bench.running()
    assert.equal(
      of(bench.does({ type: 'command', id: 1, command: { name: 'scale', change: { by: 2 } } }), 'spawn').length,
      2,
    )
    bench.ready(3)
    bench.ready(4)
    const down = bench.does({ type: 'signal', signal: 'SIGTTOU' })
    assert.deepEqual(
      of(down, 'drain').map(({ worker }) => worker),
      [4],
    )
    assert.equal(of(bench.does({ type: 'signal', signal: 'SIGTTIN' }), 'spawn').length, 1)
  })

  test('fewer than one worker, or too many, are refused', () => {
    const bench = Bench.running()
    for (const change of [{ to: 0 }, { by: -2 }, { to: 100_000 }, { to: 1.5 }]) {
      const [reply] = of(bench.does({ type: 'command', id: 1, command: { name: 'scale', change } }), 'reply')
      assert.equal(reply?.ok, false, JSON.stringify(change))
    }
    assert.equal(bench.state.wanted, 2)
  })
})

describe('stop', () => {
  test('stop drains the workers, then the arbiter exits with code 0', () => {
    const bench = Bench.running()
    const stopped = bench.does({ type: 'signal', signal: 'SIGTERM' })
    assert.deepEqual(
      of(stopped, 'drain').map(({ worker }) => worker),
      [1, 2],
    )
    assert.equal(of(stopped, 'set-timer').length, 2)
    bench.exits(1, 0)
    assert.deepEqual(of(bench.exits(2, 0), 'exit'), [{ type: 'exit', code: 0, why: 'SIGTERM' }])
    assert.equal(bench.state.phase, 'stopped')
  })

  test('a worker that has not exited at the stop timeout is killed', () => {
    const bench = Bench.running()
    bench.does({ type: 'signal', signal: 'SIGTERM' })
    assert.deepEqual(
      of(bench.does({ type: 'timer', timer: { of: 'stop', worker: 1 } }), 'kill').map(({ worker }) => worker),
      [1],
    )
  })

  test('a second signal stops immediately', () => {
    const bench = Bench.running()
    bench.does({ type: 'signal', signal: 'SIGINT' })
    const now = bench.does({ type: 'signal', signal: 'SIGINT' })
    assert.deepEqual(
      of(now, 'kill').map(({ worker }) => worker),
      [1, 2],
    )
  })

  test('SIGQUIT stops immediately', () => {
    const bench = Bench.running()
    assert.deepEqual(
      of(bench.does({ type: 'signal', signal: 'SIGQUIT' }), 'kill').map(({ worker }) => worker),
      [1, 2],
    )
    bench.exits(1, null, 'SIGKILL')
    assert.deepEqual(of(bench.exits(2, null, 'SIGKILL'), 'exit'), [{ type: 'exit', code: 0, why: 'SIGQUIT' }])
  })

  test('a stop ends a reload in progress, and its command is answered when all workers have exited', () => {
    const bench = Bench.running()
    bench.does({ type: 'command', id: 1, command: { name: 'reload' } })
    const stopped = bench.does({ type: 'command', id: 2, command: { name: 'stop' } })
    const replies = (): unknown => of(bench.actions, 'reply').map(({ command, ok }) => [command, ok])
    assert.deepEqual(replies(), [[1, false]])
    assert.deepEqual(
      of(stopped, 'drain').map(({ worker }) => worker),
      [1, 2, 3, 4],
    )
    for (const worker of [1, 2, 3, 4]) bench.exits(worker, 0)
    assert.deepEqual(replies(), [
      [1, false],
      [2, true],
    ])
  })

  test('clients are refused before the first worker drains', () => {
    const stopped = Bench.running().does({ type: 'signal', signal: 'SIGTERM' })
    const order = stopped.filter(({ type }) => type === 'stop-listening' || type === 'drain').map(({ type }) => type)
    assert.deepEqual(order, ['stop-listening', 'drain', 'drain'])
  })

  test('with a stop delay the workers serve on, are not ready, and drain at its end', () => {
    const bench = Bench.running({ stopDelay: '3s' })
    const stopped = bench.does({ type: 'signal', signal: 'SIGTERM' })
    assert.equal(isReady(bench.state), false)
    assert.deepEqual(of(stopped, 'drain'), [])
    assert.deepEqual(of(stopped, 'stop-listening'), [])
    assert.deepEqual(of(stopped, 'set-timer'), [{ type: 'set-timer', timer: { of: 'stop-delay' }, after: 3_000 }])
    const over = bench.does({ type: 'timer', timer: { of: 'stop-delay' } })
    assert.deepEqual(
      of(over, 'drain').map(({ worker }) => worker),
      [1, 2],
    )
  })

  test('a second signal ends the stop delay', () => {
    const bench = Bench.running({ stopDelay: '3s' })
    bench.does({ type: 'signal', signal: 'SIGTERM' })
    assert.equal(of(bench.does({ type: 'signal', signal: 'SIGTERM' }), 'kill').length, 2)
  })

  for (const { how, code, signal, reason } of [
    { how: 'exit code 1', code: 1, signal: null, reason: 'crash' },
    { how: 'SIGKILL from outside', code: null, signal: 'SIGKILL', reason: 'killed-externally' },
  ] as const) {
    test(`a worker that ends its shutdown with ${how} is counted, and the stop fails`, () => {
      const bench = Bench.running()
      bench.does({ type: 'command', id: 7, command: { name: 'stop' } })
      bench.does({ type: 'exited', worker: 1, code, signal })
      const ended = bench.exits(2, 0)
      assert.deepEqual(bench.state.restarts, { [reason]: 1 })
      assert.deepEqual(
        of(ended, 'reply').map(({ command, ok }) => [command, ok]),
        [[7, false]],
      )
      assert.partialDeepStrictEqual(of(ended, 'exit')[0], { code: 1 })
    })
  }

  for (const [code, signal] of [
    [0, null],
    [143, null],
    [130, null],
    [null, 'SIGTERM'],
    [null, 'SIGINT'],
  ] as const) {
    test(`a worker that ends its shutdown with ${signal ?? `exit code ${code}`} has stopped as asked`, () => {
      const bench = Bench.running()
      bench.does({ type: 'signal', signal: 'SIGTERM' })
      bench.does({ type: 'exited', worker: 1, code, signal })
      assert.partialDeepStrictEqual(of(bench.exits(2, 0), 'exit')[0], { code: 0 })
      assert.deepEqual(bench.state.restarts, {})
    })
  }

  test('nothing is started while stopping', () => {
    const bench = Bench.running()
    bench.does({ type: 'signal', signal: 'SIGTERM' })
    bench.exits(1, 1)
    bench.does({ type: 'timer', timer: { of: 'spawn' } })
    bench.does({ type: 'signal', signal: 'SIGHUP' })
    bench.does({ type: 'signal', signal: 'SIGTTIN' })
    assert.deepEqual(of(bench.actions, 'spawn'), [])
  })
})

describe('a worker whose app has closed its servers', () => {
  const closed = (bench: Bench, served: number): readonly Action[] =>
    bench.does({ type: 'message', worker: 1, message: { type: 'not-listening', served } })

  test('is not ready, and is replaced and drained if it does not listen again', () => {
    const bench = Bench.running({ workers: '1' })
    closed(bench, 5)
    assert.equal(isReady(bench.state), false)
    bench.now += 2_000
    const actions = bench.does({ type: 'timer', timer: { of: 'listen', worker: 1 } })
    assert.equal(of(actions, 'drain').length, 1)
    assert.deepEqual(bench.state.restarts, { 'not-listening': 1 })
    bench.now = bench.state.nextSpawnAt
    assert.equal(of(bench.does({ type: 'timer', timer: { of: 'spawn' } }), 'spawn').length, 1)
  })

  test('is ready again as soon as it listens', () => {
    const bench = Bench.running({ workers: '1' })
    closed(bench, 5)
    bench.ready(1)
    assert.equal(isReady(bench.state), true)
    assert.deepEqual(bench.does({ type: 'timer', timer: { of: 'listen', worker: 1 } }), [])
  })

  test('has the rest of its boot timeout if it has served no request', () => {
    const bench = Bench.running({ workers: '1', bootTimeout: '60s' })
    const [timer] = of(closed(bench, 0), 'set-timer')
    assert.ok((timer?.after ?? 0) > 50_000, String(timer?.after))
  })

  test('is replaced if its channel is closed', () => {
    const bench = Bench.running({ workers: '1' })
    assert.equal(of(bench.does({ type: 'disconnected', worker: 1 }), 'set-timer').length, 1)
    assert.equal(isReady(bench.state), false)
  })
})

test('decide does not change the state that it is given', () => {
  const bench = Bench.running()
  const before = structuredClone(bench.state)
  decide(bench.state, { type: 'signal', signal: 'SIGTERM', at: bench.now })
  assert.deepEqual(bench.state, before)
})

describe('release', () => {
  const releasing = (): Bench => {
    const bench = new Bench()
    bench.state = initialState(settings(), 42, 'always')
    bench.actions = []
    bench.does({ type: 'start' })
    return bench
  }
  const serving = (): Bench => {
    const bench = releasing()
    bench.does({ type: 'released', generation: 1, ok: true, why: '' })
    for (const { id } of bench.state.workers) bench.ready(id)
    assert.equal(bench.state.phase, 'running')
    bench.actions = []
    return bench
  }

  test('no worker is started before the release steps have finished', () => {
    const bench = releasing()
    assert.deepEqual(of(bench.actions, 'release'), [{ type: 'release', generation: 1, serving: false }])
    bench.does({ type: 'tick' })
    bench.does({ type: 'signal', signal: 'SIGTTIN' })
    assert.deepEqual(of(bench.actions, 'spawn'), [])
    assert.equal(of(bench.does({ type: 'released', generation: 1, ok: true, why: 'done' }), 'spawn').length, 3)
  })

  test('a release that fails before the first generation ends the arbiter with code 4 and the reason', () => {
    const bench = releasing()
    const actions = bench.does({ type: 'released', generation: 1, ok: false, why: 'step migrate failed' })
    assert.deepEqual(of(actions, 'exit'), [{ type: 'exit', code: 4, why: 'step migrate failed' }])
    assert.deepEqual(of(bench.actions, 'spawn'), [])
  })

  test('a reload starts its generation after the release, and replaces workers of the old one meanwhile', () => {
    const bench = serving()
    const actions = bench.does({ type: 'command', id: 1, command: { name: 'reload' } })
    assert.deepEqual(of(actions, 'release'), [{ type: 'release', generation: 2, serving: true }])
    bench.exits(1)
    bench.now += 100
    bench.does({ type: 'timer', timer: { of: 'spawn' } })
    assert.deepEqual(
      of(bench.actions, 'spawn').map(({ generation }) => generation),
      [1],
    )
    const after = bench.does({ type: 'released', generation: 2, ok: true, why: '' })
    assert.deepEqual(
      of(after, 'spawn').map(({ generation }) => generation),
      [2, 2],
    )
  })

  test('a reload whose release fails is answered, the old generation keeps serving, and the next reload begins', () => {
    const bench = serving()
    bench.does({ type: 'command', id: 1, command: { name: 'reload' } })
    bench.does({ type: 'command', id: 2, command: { name: 'reload' } })
    const actions = bench.does({ type: 'released', generation: 2, ok: false, why: 'step migrate failed' })
    const [reply] = of(actions, 'reply')
    assert.equal(reply?.ok, false)
    assert.deepEqual(reply?.details, { generation: 2, serving: 1, reason: 'release', why: 'step migrate failed' })
    assert.deepEqual(of(actions, 'drain'), [])
    assert.deepEqual(
      of(actions, 'release').map(({ generation }) => generation),
      [3],
    )
    assert.equal(isReady(bench.state), true)
  })

  test('a stop aborts the release and waits for its end', () => {
    const bench = releasing()
    const actions = bench.does({ type: 'signal', signal: 'SIGTERM' })
    assert.deepEqual(
      of(actions, 'abort-release').map(({ why }) => why),
      ['SIGTERM'],
    )
    assert.deepEqual(of(actions, 'exit'), [])
    assert.deepEqual(of(bench.does({ type: 'released', generation: 1, ok: false, why: 'aborted' }), 'exit'), [
      { type: 'exit', code: 0, why: 'SIGTERM' },
    ])
  })

  test('with a config file without steps, only a reload runs a release', () => {
    const bench = new Bench()
    bench.state = initialState(settings(), 42, 'reload')
    bench.actions = []
    bench.does({ type: 'start' })
    assert.equal(of(bench.actions, 'spawn').length, 2)
    for (const { id } of bench.state.workers) bench.ready(id)
    assert.equal(of(bench.does({ type: 'command', id: 1, command: { name: 'reload' } }), 'release').length, 1)
  })
})
