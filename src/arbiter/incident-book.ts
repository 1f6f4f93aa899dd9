import { isAbsolute } from 'node:path'
import { importChain } from '../diagnostics/import-chain.ts'
import type { Incident, StallEvidence } from '../diagnostics/incident.ts'
import type { IncidentStore } from '../diagnostics/incident-store.ts'
import type { Log } from '../diagnostics/log.ts'
import { SourcePositions } from '../diagnostics/source-positions.ts'
import { tellStory, type Untold } from '../diagnostics/story.ts'
import { wallClock } from '../resilience/clock.ts'
import type { WorkerState } from './state.ts'

type Draft = { -readonly [Key in keyof Untold]: Untold[Key] }

/** An incident that is not over yet. */
export interface OpenIncident {
  readonly draft: Draft
  readonly worker: number
  /** Monotonic time of the cut, kill or exit, from which the replacement is timed. */
  lostAt: number | null
}

export type TellingLevel = 'info' | 'warn' | 'error' | 'fatal'

/** The incidents that are open, and the way from each to the log and its file. */
export class IncidentBook {
  readonly #store: IncidentStore
  readonly #log: Log
  readonly #cwd: string
  readonly #entry: string
  readonly #positions = new SourcePositions()
  readonly #open: OpenIncident[] = []
  #telling: Promise<void> = Promise.resolve()

  /** @param entry absolute path of the app's entry */
  constructor(store: IncidentStore, log: Log, cwd: string, entry: string) {
    this.#entry = entry
    this.#store = store
    this.#log = log
    this.#cwd = cwd
  }

  get open(): readonly OpenIncident[] {
    return this.#open
  }

  /** Resolves when everything that was to be told so far has been. */
  told(): Promise<void> {
    return this.#telling
  }

  begin(kind: Incident['kind'], worker: WorkerState, evidence: readonly StallEvidence[] = []): OpenIncident {
    const { id, pid, generation } = worker
    const draft: Draft = {
      ...start(kind, id),
      worker: { id, pid: pid ?? 0, generation },
      outcome: 'ongoing',
      evidence: [...evidence],
    }
    const first = evidence[0]
    if (first !== undefined) draft.stalledForMs = first.stalledForMs
    const open = { draft, worker: id, lostAt: null }
    this.#open.push(open)
    return open
  }

  /** What is still going on. An incident that was cut stays open until its worker has been replaced, and may be followed by another. */
  find(worker: number, kind: Incident['kind']): OpenIncident | undefined {
    return this.#open.find(
      ({ worker: id, draft }) => id === worker && draft.kind === kind && draft.outcome === 'ongoing',
    )
  }

  /** The stall that was cut: there is one in a worker's life. */
  findCut(worker: number): OpenIncident | undefined {
    return this.#open.find(({ worker: id, draft }) => {
      return id === worker && (draft.outcome === 'interrupted' || draft.culprit !== undefined)
    })
  }

  add(open: OpenIncident, evidence: StallEvidence): void {
    open.draft.evidence = [...open.draft.evidence, evidence]
    open.draft.stalledForMs = Math.max(open.draft.stalledForMs ?? 0, evidence.stalledForMs)
  }

  close(open: OpenIncident): void {
    this.#open.splice(this.#open.indexOf(open), 1)
  }

  /** An incident of a worker that goes on, told at once and over. */
  tellOf(worker: WorkerState, kind: Incident['kind'], facts: Partial<Draft>, level: TellingLevel): void {
    const { id, pid, generation } = worker
    const who = { id, pid: pid ?? 0, generation }
    this.tell({ ...start(kind, id), worker: who, outcome: 'ongoing', evidence: [], ...facts }, level)
  }

  /** An incident that is no worker's, told at once and over. */
  tellWhole(kind: Incident['kind'], facts: Partial<Draft>, level: TellingLevel): void {
    this.tell({ ...start(kind, null), worker: null, outcome: 'exited', evidence: [], ...facts }, level)
  }

  /** Writes the incident as it stands, and says so in the log unless `level` is null. One after the other, in order. */
  tell(draft: Draft, level: TellingLevel | null): void {
    const snapshot = { ...draft }
    this.#telling = this.#telling.then(async () => {
      const evidence = await Promise.all(
        snapshot.evidence.map(async (one) =>
          one.stack === null ? one : { ...one, stack: await this.#positions.map(one.stack) },
        ),
      )
      const imports = snapshot.kind === 'boot' ? await importersOf(evidence, this.#entry) : []
      const incident = { ...snapshot, evidence, ...(imports.length > 1 ? { imports } : {}) }
      const summary = tellStory(incident, this.#cwd)
      this.#store.save({ ...incident, summary })
      if (level !== null)
        this.#log[level](
          { event: 'incident', incident: incident.id, kind: incident.kind, outcome: incident.outcome },
          summary,
        )
    })
  }
}

/** How the module that was being imported came to be: the innermost of the app's own that is on the stack. */
async function importersOf(evidence: readonly StallEvidence[], entry: string): Promise<readonly string[]> {
  const stack = evidence.findLast((one) => one.stack !== null)?.stack ?? null
  // The outermost frame is the module's own code: everything else was called from there.
  const module = stack?.findLast(({ file }) => isAbsolute(file))
  return module === undefined ? [] : importChain(entry, module.file)
}

let previous = ''
let copies = 0

/** The id, `20261122T004331123-w2-stall`, is sortable, and unique even when two happen in one millisecond. */
function start<Kind extends Incident['kind']>(
  kind: Kind,
  worker: number | null,
): { id: string; kind: Kind; at: string } {
  const at = wallClock().toISOString()
  const id = `${at.replace(/[-:.Z]/g, '')}${worker === null ? '' : `-w${worker}`}-${kind}`
  copies = id === previous ? copies + 1 : 0
  previous = id
  return { id: copies === 0 ? id : `${id}-${copies}`, kind, at }
}
