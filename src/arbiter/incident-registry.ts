import { isAbsolute } from 'node:path'
import { importChain } from '../diagnostics/import-chain.ts'
import type { Incident, StallEvidence } from '../diagnostics/incident.ts'
import type { IncidentStore } from '../diagnostics/incident-store.ts'
import { formatSummary, type IncidentFacts } from '../diagnostics/incident-summary.ts'
import type { Log } from '../diagnostics/log.ts'
import { redactIncident } from '../diagnostics/redact-incident.ts'
import { SourceMapper } from '../diagnostics/source-mapper.ts'
import { wallClock } from '../resilience/clock.ts'
import { SerialQueue } from '../resilience/serial-queue.ts'
import type { WorkerState } from './state.ts'

type Draft = { -readonly [Key in keyof IncidentFacts]: IncidentFacts[Key] }

/** An incident that may still change. */
export interface OpenIncident {
  readonly draft: Draft
  readonly worker: number
  /** Monotonic time of the interruption, kill or exit, from which the replacement is timed. */
  lostAt: number | null
}

export type IncidentLogLevel = 'info' | 'warn' | 'error' | 'fatal'

/** Holds the open incidents, and writes each of them to the log and to its file. */
export class IncidentRegistry {
  readonly #store: IncidentStore
  readonly #log: Log
  readonly #cwd: string
  readonly #entry: string
  readonly #sourceMapper = new SourceMapper()
  readonly #open: OpenIncident[] = []
  readonly #saves = new SerialQueue()

  /** @param entry absolute path of the app's entry */
  constructor(store: IncidentStore, log: Log, cwd: string, entry: string) {
    this.#store = store
    this.#log = log
    this.#cwd = cwd
    this.#entry = entry
  }

  get open(): readonly OpenIncident[] {
    return this.#open
  }

  /** Resolves when everything saved so far is in the log and in the store. */
  flush(): Promise<void> {
    return this.#saves.idle()
  }

  /** Opens an incident of a worker. It is neither logged nor written before `save`. */
  create(kind: Incident['kind'], worker: WorkerState, evidence: readonly StallEvidence[] = []): OpenIncident {
    const draft: Draft = { ...newIncident(kind, worker), outcome: 'ongoing', evidence: [...evidence] }
    const first = evidence[0]
    if (first !== undefined) draft.stalledForMs = first.stalledForMs
    const open = { draft, worker: worker.id, lostAt: null }
    this.#open.push(open)
    return open
  }

  /** The ongoing incident of this kind. An interrupted stall is not: another may follow it. */
  find(worker: number, kind: Incident['kind']): OpenIncident | undefined {
    return this.#open.find(
      ({ worker: id, draft }) => id === worker && draft.kind === kind && draft.outcome === 'ongoing',
    )
  }

  /** The stall that was interrupted; a worker has at most one. */
  findInterrupted(worker: number): OpenIncident | undefined {
    return this.#open.find(({ worker: id, draft }) => {
      return id === worker && (draft.outcome === 'interrupted' || draft.culprit !== undefined)
    })
  }

  addEvidence(open: OpenIncident, evidence: StallEvidence): void {
    open.draft.evidence = [...open.draft.evidence, evidence]
    open.draft.stalledForMs = Math.max(open.draft.stalledForMs ?? 0, evidence.stalledForMs)
  }

  close(open: OpenIncident): void {
    this.#open.splice(this.#open.indexOf(open), 1)
  }

  /** Saves an incident of a worker that keeps running and needs no further changes. */
  recordForWorker(kind: Incident['kind'], worker: WorkerState, facts: Partial<Draft>, level: IncidentLogLevel): void {
    this.save({ ...newIncident(kind, worker), outcome: 'ongoing', evidence: [], ...facts }, level)
  }

  /** Saves an incident of the arbiter as a whole. */
  recordForArbiter(kind: Incident['kind'], facts: Partial<Draft>, level: IncidentLogLevel): void {
    this.save({ ...newIncident(kind, null), outcome: 'exited', evidence: [], ...facts }, level)
  }

  /** Writes the incident as it is now, in order, and logs its summary unless `level` is null. */
  save(draft: Draft, level: IncidentLogLevel | null): void {
    const snapshot = { ...draft }
    void this.#saves.run(async () => {
      const evidence = await Promise.all(
        snapshot.evidence.map(async (one) =>
          one.stack === null ? one : { ...one, stack: await this.#sourceMapper.map(one.stack) },
        ),
      )
      const imports = snapshot.kind === 'boot' ? await importsOf(evidence, this.#entry) : []
      const incident = redactIncident({ ...snapshot, evidence, ...(imports.length > 1 ? { imports } : {}) })
      const summary = formatSummary(incident, this.#cwd)
      this.#store.save({ ...incident, summary })
      if (level === null) return
      const { id, kind, outcome } = incident
      this.#log[level]({ event: 'incident', incident: id, kind, outcome }, summary)
    })
  }
}

/** The imports that lead from the entry to the module whose code was running. */
async function importsOf(evidence: readonly StallEvidence[], entry: string): Promise<readonly string[]> {
  const stack = evidence.findLast((one) => one.stack !== null)?.stack ?? null
  // The outermost frame is the top-level code of that module.
  const module = stack?.findLast(({ file }) => isAbsolute(file))
  return module === undefined ? [] : importChain(entry, module.file)
}

let previousId = ''
let copies = 0

/** The id, `20261122T004331123-w2-stall`, is sortable, and unique within one millisecond too. */
function newIncident(kind: Incident['kind'], worker: WorkerState | null): Pick<Draft, 'id' | 'kind' | 'at' | 'worker'> {
  const at = wallClock().toISOString()
  const id = `${at.replace(/[-:.Z]/g, '')}${worker === null ? '' : `-w${worker.id}`}-${kind}`
  copies = id === previousId ? copies + 1 : 0
  previousId = id
  return {
    id: copies === 0 ? id : `${id}-${copies}`,
    kind,
    at,
    worker: worker === null ? null : { id: worker.id, pid: worker.pid ?? 0, generation: worker.generation },
  }
}
