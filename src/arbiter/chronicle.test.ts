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
import { Chronicle } from './chronicle.ts'
import { decide } from './decide.ts'
import type { Event } from './event.ts'
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

/** A chronicle fed as the arbiter feeds it, with a real store and log. */
class Desk {
  readonly #chronicle: Chronicle
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
    this.#chronicle = new Chronicle(this.#store, log, '/srv', '/srv/app.js')
    this.#state = initialState(settings, 1)
    this.happens({ type: 'start' })
    for (const id of [1, 2]) this.boots(id)
  }

  happens(event: Unstamped<Event>): void {
    const stamped = { ...event, at: this.now } as Event
    this.#chronicle.note(stamped, this.#state)
    const { state, actions } = decide(this.#state, stamped)
    this.#state = state
    for (const action of actions) if (action.type === 'announce') this.#chronicle.announce(action.what, state, this.now)
  }

  tells(worker: number, message: FromMain | FromWatchdog): void {
    this.happens({ type: 'told', worker, message })
  }

  boots(id: number): void {
    this.happens({ type: 'spawned', worker: id, pid: id + 5 })
    this.tells(id, { type: 'ready', bootMs: 1, address: 'a', notes: [] })
  }

  async incidents(): Promise<Incident[]> {
    await this.#chronicle.told()
    await this.#store.flush(ms(10_000))
    const all = await Promise.all((await this.#store.list()).map(({ id }) => this.#store.read(id)))
    return all.filter((incident) => incident !== undefined)
  }
}

async function desk(run: (desk: Desk) => Promise<void>): Promise<void> {
  const stateDir = await mkdtemp(join(tmpdir(), 'punctual-chronicle-'))
  try {
    await run(new Desk(stateDir))
  } finally {
    await rm(stateDir, { recursive: true })
  }
}

test('a cut is one incident, whichever of the two ways out of the worker is heard first', async () => {
  const cut = { type: 'stall-interrupted', stalledForMs: 5_000, evidence: evidence('interrupt', 5_000) } as const
  const done = { type: 'interrupt-done', culprit: '503', others: 14 } as const
  for (const order of [
    [cut, done],
    [done, cut],
  ]) {
    await desk(async (chronicle) => {
      chronicle.tells(2, { type: 'stall-reported', evidence: evidence('report', 1_000) })
      for (const message of order) chronicle.tells(2, message)
      chronicle.now += 212
      chronicle.boots(3)
      chronicle.tells(2, { type: 'interrupt-served', served: 14, others: 14 })
      chronicle.happens({ type: 'exited', worker: 2, code: 0, signal: null })
      const [incident, ...more] = await chronicle.incidents()
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
      assert.partialDeepStrictEqual(chronicle.lines.at(-1), {
        event: 'incident',
        incident: incident?.id,
        outcome: 'interrupted',
        msg: incident?.summary,
      })
    })
  }
})

test('a kill tells why no cut was made, what the clients were told, and who took over', async () => {
  await desk(async (chronicle) => {
    chronicle.tells(1, { type: 'stall-reported', evidence: evidence('report', 1_000) })
    chronicle.tells(1, {
      type: 'interrupt-impossible',
      why: 'blocked-in-system-call',
      evidence: evidence('interrupt', 10_000),
    })
    const emergencyResponses = { inFlight: 40, unread: 1, closed: 2, tookMs: 3 }
    chronicle.tells(1, { type: 'killing', why: 'stall', evidence: evidence('kill', 15_000), emergencyResponses })
    chronicle.happens({ type: 'exited', worker: 1, code: null, signal: 'SIGKILL' })
    chronicle.now += 400
    chronicle.happens({ type: 'timer', timer: { of: 'spawn' } })
    chronicle.boots(3)
    const [incident] = await chronicle.incidents()
    assert.partialDeepStrictEqual(incident, {
      outcome: 'killed',
      stalledForMs: 15_000,
      notInterrupted: 'blocked-in-system-call',
      emergencyResponses,
      replacement: { worker: 3, afterMs: 400 },
    })
  })
})

test('a worker killed for not leaving is no stall, and is told all the same', async () => {
  await desk(async (chronicle) => {
    chronicle.happens({ type: 'signal', signal: 'SIGTERM' })
    const emergencyResponses = { inFlight: 1, unread: 0, closed: 0, tookMs: 3 }
    chronicle.tells(1, { type: 'killing', why: 'stop-timeout', evidence: null, emergencyResponses })
    assert.deepEqual(await chronicle.incidents(), [])
    assert.partialDeepStrictEqual(chronicle.lines.at(-1), {
      level: 'warn',
      event: 'worker-killed',
      worker: 1,
      workerPid: 6,
      reason: 'stop-timeout',
      emergencyResponses,
    })
  })
})

test('a setting that does not apply is said once, not by every worker', async () => {
  await desk(async (chronicle) => {
    for (const id of [1, 2])
      chronicle.tells(id, { type: 'ready', bootMs: 1, address: 'a', notes: ['x does not apply'] })
    await chronicle.incidents()
    assert.deepEqual(
      chronicle.lines.map(({ event, msg }) => [event, msg]),
      [['boot-note', 'x does not apply']],
    )
  })
})
