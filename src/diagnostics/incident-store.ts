import type { Milliseconds } from '../resilience/duration.ts'
import { waitAtMost } from '../resilience/wait-at-most.ts'
import { makeDirectory } from '../system/make-directory.ts'
import type { Incident, IncidentSummary } from './incident.ts'
import { IncidentFiles, summaryOf } from './incident-files.ts'
import { incidentJson } from './incident-json.ts'
import type { Log } from './log.ts'

/** Unwritten incidents. Beyond it the oldest is dropped; its summary is in the log. */
const MAX_QUEUE = 100
/** Their summaries are kept in memory. */
const MAX_LISTED = 1_000
/**
 * Files that are larger, and larger than the arbiter writes now, are not read, in bytes: parsing
 * takes several times their size. `punctual incidents` reads them.
 */
const MAX_READ = 256 * 1024

export interface IncidentStoreOptions {
  readonly stateDir: string
  /** Maximum number of files; the oldest are deleted. */
  readonly maxIncidents: number
  /** Maximum size of one file in bytes. */
  readonly maxIncidentSize: number
  readonly log: Pick<Log, 'warn' | 'info'>
}

/**
 * Writes incidents to `<stateDir>/incidents/<id>.json` in the background, one after the other.
 * Never throws or blocks: if the disk is full or hangs, files are lost, which is logged once when
 * it begins and once when it ends.
 */
export class IncidentStore {
  readonly files: IncidentFiles
  readonly #options: IncidentStoreOptions
  readonly #maxRead: number
  /** The latest version of each unwritten incident, in order. */
  readonly #unwritten = new Map<string, Incident>()
  readonly #byKind: Record<string, number> = {}
  readonly #counted = new Set<string>()
  #newest: string | null = null
  #total = 0
  #writing: Promise<void> | null = null
  #listing: Promise<readonly IncidentSummary[]> | null = null
  #swept = false
  #failing = false
  #lost = 0

  constructor(options: IncidentStoreOptions) {
    this.#options = options
    this.#maxRead = Math.max(MAX_READ, options.maxIncidentSize)
    this.files = new IncidentFiles(options.stateDir)
  }

  /** Saves an incident, or a new version of it under the same id. */
  save(incident: Incident): void {
    this.#count(incident)
    this.#unwritten.set(incident.id, incident)
    if (this.#unwritten.size > MAX_QUEUE) {
      const [oldest = ''] = this.#unwritten.keys()
      this.#unwritten.delete(oldest)
      this.#lost += 1
    }
    this.#writing ??= this.#writeAll()
  }

  /**
   * The newest, newest first, including those that are not written yet. Concurrent calls share one
   * look at the directory. Never rejects.
   */
  list(): Promise<readonly IncidentSummary[]> {
    this.#listing ??= this.#list().finally(() => {
      this.#listing = null
    })
    return this.#listing
  }

  async #list(): Promise<readonly IncidentSummary[]> {
    const written = await this.files.list(MAX_LISTED, this.#maxRead).catch(() => [])
    const all = new Map(written.map((summary) => [summary.id, summary]))
    for (const incident of this.#unwritten.values()) all.set(incident.id, summaryOf(incident))
    return [...all.values()].sort((a, b) => (a.id < b.id ? 1 : -1)).slice(0, MAX_LISTED)
  }

  async read(id: string): Promise<Incident | undefined> {
    return this.#unwritten.get(id) ?? (await this.files.read(id, this.#maxRead))
  }

  /** The number of incidents since the start, for `/status` and the metrics. */
  counts(): { total: number; newest: string | null; byKind: Readonly<Record<string, number>> } {
    return { total: this.#total, newest: this.#newest, byKind: { ...this.#byKind } }
  }

  /** Waits until all are written, for at most `timeout`. Resolves with whether they are. */
  async flush(timeout: Milliseconds): Promise<boolean> {
    const writing = this.#writing?.then(() => true) ?? Promise.resolve(true)
    return waitAtMost(timeout, writing, () => false)
  }

  #count(incident: Incident): void {
    if (this.#counted.has(incident.id)) return
    this.#counted.add(incident.id)
    // Only recent incidents are updated, so older ids are forgotten.
    for (const old of this.#counted) {
      if (this.#counted.size <= 10 * MAX_QUEUE) break
      this.#counted.delete(old)
    }
    this.#total += 1
    this.#newest = incident.id
    this.#byKind[incident.kind] = (this.#byKind[incident.kind] ?? 0) + 1
  }

  async #writeAll(): Promise<void> {
    for (;;) {
      const [next] = this.#unwritten
      if (next === undefined) break
      const [id, incident] = next
      await this.#write(incident)
      // A newer version that was saved meanwhile is written next.
      if (this.#unwritten.get(id) === incident) this.#unwritten.delete(id)
    }
    this.#writing = null
  }

  async #write(incident: Incident): Promise<void> {
    const { maxIncidents, maxIncidentSize } = this.#options
    try {
      // Each time, since the state directory may have been removed.
      await makeDirectory(this.files.directory)
      if (!this.#swept) await this.files.sweep()
      this.#swept = true
      await this.files.write(incident.id, incidentJson(incident, maxIncidentSize))
      await this.files.prune(maxIncidents)
      this.#logRecovery()
    } catch (error) {
      this.#lost += 1
      this.#logFailure(error)
    }
  }

  #logFailure(error: unknown): void {
    if (this.#failing) return
    this.#failing = true
    const { log } = this.#options
    log.warn(
      { event: 'incidents-unwritable', directory: this.files.directory, error },
      `could not write incidents to ${this.files.directory}; they are only in the log`,
    )
  }

  #logRecovery(): void {
    if (!this.#failing) return
    this.#failing = false
    const lost = this.#lost
    this.#lost = 0
    this.#options.log.info(
      { event: 'incidents-writable', directory: this.files.directory, lost },
      `writing incidents to ${this.files.directory} again; ${lost} were lost`,
    )
  }
}
