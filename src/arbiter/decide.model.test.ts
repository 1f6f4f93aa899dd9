import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { StallEvidence } from '../diagnostics/incident.ts'
import { NO_OUTCOMES } from '../diagnostics/outcomes.ts'
import { resolveSettings } from '../settings/resolve.ts'
import { decide } from './decide.ts'
import type { Action, Event } from './events.ts'
import { initialState, type State } from './state.ts'

const EVIDENCE: StallEvidence = {
  stage: 'interrupt',
  stalledForMs: 1,
  stack: null,
  request: null,
  inFlight: [],
  inFlightCount: 0,
  kernel: null,
  loopLag: [],
  memory: { rss: 0, heapUsed: 0, heapLimit: 0 },
  allowBlocking: null,
}

/**
 * A simulation of worker processes with random faults. After every step it checks the invariants
 * of `decide`. At the end the faults stop, and the arbiter must recover.
 */
class World {
  state: State
  now = 0
  readonly #random: () => number
  /** Scheduled events. */
  #coming: { at: number; event: Event }[] = []
  readonly alive = new Map<number, { ready: boolean; ending: boolean }>()
  readonly spawned = new Set<number>()
  readonly asked = new Set<number>()
  readonly answered = new Map<number, number>()
  exit: Extract<Action, { type: 'exit' }> | null = null
  faults = true
  #commands = 0

  constructor(seed: number) {
    this.#random = generator(seed)
    const { settings } = resolveSettings({
      flags: { workers: String(1 + Math.floor(this.#random() * 4)), maxRequests: '500', crashLimit: 'unbounded' },
      env: {},
      file: undefined,
      cwd: '/srv',
      isTerminal: false,
    })
    this.state = initialState(settings, seed, seed % 2 === 0 ? 'always' : 'never')
    this.#happen({ type: 'start', at: 0 })
  }

  chance(share: number): boolean {
    return this.#random() < share
  }

  later(after: number, event: Record<string, unknown>): void {
    const at = this.now + after
    this.#coming.push({ at, event: { ...event, at } as Event })
    this.#coming.sort((a, b) => a.at - b.at)
  }

  /** Runs the next scheduled event; there is a tick every half second. */
  step(): void {
    const next = this.#coming[0]
    const tick = this.now + 500
    if (next !== undefined && next.at <= tick) {
      this.#coming.shift()
      this.now = next.at
      this.#happen(next.event)
    } else {
      this.now = tick
      for (const [worker, { ready }] of this.alive) if (!this.faults || this.chance(0.97)) this.#beat(worker, ready)
      this.#happen({ type: 'tick', at: this.now })
    }
    if (this.faults) this.#disturb()
    this.#check()
  }

  #beat(worker: number, ready: boolean): void {
    const vitals = {
      heartbeatAgeMs: 0, loopLagMs: 0, requests: ready ? Math.floor(this.#random() * 600) : 0, inFlight: 0, connections: 0,
      outcomes: NO_OUTCOMES, waiting: 0, wouldBeShed: 0, overloaded: false, abandonedOperations: 0, rss: 1, heapUsed: 1, heapLimit: 2, debugged: false,
    } // biome-ignore format: figures
    this.#happen({ type: 'message', worker, message: { type: 'heartbeat', vitals }, at: this.now })
  }

  #disturb(): void {
    const ids = [...this.alive.keys()]
    const worker = ids[Math.floor(this.#random() * ids.length)]
    const at = this.now
    const dice = this.#random()
    if (dice < 0.02 && worker !== undefined) this.#ends(worker, 1, 1, null)
    else if (dice < 0.03 && worker !== undefined) this.#ends(worker, 1, null, 'SIGKILL')
    else if (dice < 0.05 && worker !== undefined && this.alive.get(worker)?.ready) {
      this.#happen({
        type: 'message',
        worker,
        message: { type: 'stall-interrupted', stalledForMs: 1, evidence: EVIDENCE },
        at,
      })
    } else if (dice < 0.06) this.#ask({ name: 'reload' })
    else if (dice < 0.07) this.#ask({ name: 'scale', change: { by: this.chance(0.5) ? 1 : -1 } })
    else if (dice < 0.075) this.#happen({ type: 'signal', signal: 'SIGHUP', at })
    else if (dice < 0.085) this.now += 10_000
  }

  #ask(command: Extract<Event, { type: 'command' }>['command']): void {
    const id = ++this.#commands
    this.asked.add(id)
    this.#happen({ type: 'command', id, command, at: this.now })
  }

  ask(command: Extract<Event, { type: 'command' }>['command']): void {
    this.#ask(command)
  }

  /** The process exits after a while, once. */
  #ends(worker: number, after: number, code: number | null, signal: string | null): void {
    const process = this.alive.get(worker)
    if (process === undefined || process.ending) return
    process.ending = true
    this.later(after, { type: 'exited', worker, code, signal })
  }

  #happen(event: Event): void {
    if (this.exit !== null) return
    if (event.type === 'exited') this.alive.delete(event.worker)
    if (event.type === 'message' && event.message.type === 'ready') {
      const process = this.alive.get(event.worker)
      if (process === undefined) return
      process.ready = true
      this.later(1_000, { type: 'message', worker: event.worker, message: { type: 'settled' } })
    }
    const { state, actions } = decide(this.state, event)
    this.state = state
    for (const action of actions) this.#perform(action)
  }

  #perform(action: Action): void {
    switch (action.type) {
      case 'spawn':
        assert.ok(!this.spawned.has(action.worker), 'an id is used once')
        this.spawned.add(action.worker)
        this.alive.set(action.worker, { ready: false, ending: false })
        this.later(1, { type: 'spawned', worker: action.worker, pid: action.worker + 1_000 })
        // Some cannot boot, and some never send a message.
        if (this.faults && this.chance(0.15)) this.#ends(action.worker, 100, 1, null)
        else if (!this.faults || this.chance(0.9)) {
          this.later(400, {
            type: 'message',
            worker: action.worker,
            message: { type: 'ready', bootMs: 1, address: 'a', notes: [] },
          })
        }
        return
      case 'drain':
        if (!this.faults || this.chance(0.8)) this.#ends(action.worker, 200, 0, null)
        return
      case 'kill':
        this.#ends(action.worker, 5, null, 'SIGKILL')
        return
      case 'release':
        assert.ok(action.serving || this.alive.size === 0, 'nothing runs before the first release has ended')
        this.later(this.faults && this.chance(0.2) ? 5_000 : 300, {
          type: 'released',
          generation: action.generation,
          ok: !this.faults || this.chance(0.8),
          why: 'a step failed',
        })
        return
      case 'set-timer':
        if (Number.isFinite(action.after)) this.later(action.after, { type: 'timer', timer: action.timer })
        return
      case 'reply':
        this.answered.set(action.command, (this.answered.get(action.command) ?? 0) + 1)
        return
      case 'exit':
        assert.equal(this.exit, null, 'it exits once')
        this.exit = action
        return
    }
  }

  #check(): void {
    const { workers, wanted, phase } = this.state
    assert.equal(new Set(workers.map(({ id }) => id)).size, workers.length, 'no worker is listed twice')
    const staying = workers.filter(
      ({ life, generation }) => life !== 'draining' && generation === this.state.generation,
    )
    const unmarked = staying.filter(({ recycling: leaving }) => leaving === null)
    if (phase === 'running') assert.ok(unmarked.length <= wanted + staying.length, 'not more than wanted are kept')
    for (const [command, times] of this.answered) {
      assert.ok(this.asked.has(command))
      assert.equal(times, 1, `command ${command} is answered once`)
    }
    assert.ok(workers.length <= 4 * (wanted + 8), `${workers.length} workers at once for ${wanted} wanted`)
  }
}

function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 4_294_967_296
  }
}

/** In the long form 1,000. */
const WORLDS = Number(process.env.WORLDS ?? 50)

test('after any sequence of faults it recovers, and every command is answered once', () => {
  for (let seed = 1; seed <= WORLDS; seed++) {
    const world = new World(seed)
    for (let i = 0; i < 400 && world.exit === null; i++) world.step()
    if (world.exit !== null) {
      // Without a stop, only a first generation that did not boot or release may end the arbiter.
      assert.ok(
        world.exit.code === 3 || (world.exit.code === 4 && seed % 2 === 0),
        `seed ${seed}: ${JSON.stringify(world.exit)}`,
      )
      continue
    }
    world.faults = false
    for (let i = 0; i < 1_500; i++) world.step()
    const { workers, wanted, generation, phase, reload } = world.state
    const shown = `seed ${seed}: ${phase}, wanted ${wanted}, generation ${generation}, ${JSON.stringify(workers.map(({ id, life, generation: g, recycling: leaving }) => ({ id, life, g, leaving })))}`
    assert.equal(phase, 'running', shown)
    assert.equal(reload, null, shown)
    const serving = workers.filter(({ life, generation: g }) => life === 'ready' && g === generation)
    assert.ok(serving.length >= wanted, shown)
    assert.ok(workers.length <= wanted + 2, shown)
    assert.deepEqual(
      [...world.asked].filter((id) => !world.answered.has(id)),
      [],
      shown,
    )

    world.ask({ name: 'stop' })
    for (let i = 0; i < 500 && world.exit === null; i++) world.step()
    assert.equal((world.exit as { code: number } | null)?.code, 0, `seed ${seed}: it stops on request`)
  }
})
