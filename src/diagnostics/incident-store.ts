import { mkdir } from 'node:fs/promises'
import { after } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import type { Incident, IncidentSummary } from './incident.ts'
import { IncidentFiles, summaryOf } from './incident-files.ts'
import type { Log } from './log.ts'
import { incidentJson } from './shrink-incident.ts'

/** Incidents that wait to be written. Beyond it the oldest waiting is given up: the log has its summary. */
const LONGEST_QUEUE = 100

export interface IncidentStoreOptions {
  readonly stateDir: string
  /** Files kept; the oldest go. */
  readonly maxIncidents: number
  /** Most bytes of one file. */
  readonly maxIncidentSize: number
  readonly log: Pick<Log, 'warn' | 'info'>
}

/**
 * Writes incidents to `<stateDir>/incidents/<id>.json`, one after the other, in the background. Nothing here throws or waits: a disk
 * that is full or hangs costs files, said once when it begins and once when it ends, and never the arbiter.
 */
export class IncidentStore {
  readonly files: IncidentFiles
  readonly #options: IncidentStoreOptions
  /** The newest state of each incident that is yet to be written, in the order in which they came. */
  readonly #waiting = new Map<string, Incident>()
  readonly #byKind: Record<string, number> = {}
  readonly #counted = new Set<string>()
  #newest: string | null = null
  #total = 0
  #writing: Promise<void> | null = null
  #swept = false
  #failing = false
  #lost = 0

  constructor(options: IncidentStoreOptions) {
    this.#options = options
    this.files = new IncidentFiles(options.stateDir)
  }

  /** Records an incident, or its new state under the same id. */
  save(incident: Incident): void {
    this.#count(incident)
    this.#waiting.set(incident.id, incident)
    if (this.#waiting.size > LONGEST_QUEUE) {
      const [oldest = ''] = this.#waiting.keys()
      this.#waiting.delete(oldest)
      this.#lost += 1
    }
    this.#writing ??= this.#writeAll()
  }

  /** Newest first; with those that are yet to be written. Never rejects. */
  async list(): Promise<IncidentSummary[]> {
    const written = await this.files.list().catch(() => [])
    const all = new Map(written.map((summary) => [summary.id, summary]))
    for (const incident of this.#waiting.values()) all.set(incident.id, summaryOf(incident))
    return [...all.values()].sort((a, b) => (a.id < b.id ? 1 : -1))
  }

  async read(id: string): Promise<Incident | undefined> {
    return this.#waiting.get(id) ?? (await this.files.read(id))
  }

  /** How many there were since the start, for `/status` and the metrics. */
  counts(): { total: number; newest: string | null; byKind: Readonly<Record<string, number>> } {
    return { total: this.#total, newest: this.#newest, byKind: { ...this.#byKind } }
  }

  /** Waits until all is written, for at most `limit`. True if it is. */
  async flush(limit: Milliseconds): Promise<boolean> {
    const writing = this.#writing
    if (writing === null) return true
    return new Promise((resolve) => {
      const cancel = after(limit, () => resolve(false))
      void writing.then(() => {
        cancel()
        resolve(true)
      })
    })
  }

  #count(incident: Incident): void {
    if (this.#counted.has(incident.id)) return
    this.#counted.add(incident.id)
    // Only the recent can be updated, so older ids need not be remembered.
    for (const old of this.#counted) {
      if (this.#counted.size <= 10 * LONGEST_QUEUE) break
      this.#counted.delete(old)
    }
    this.#total += 1
    this.#newest = incident.id
    this.#byKind[incident.kind] = (this.#byKind[incident.kind] ?? 0) + 1
  }

  async #writeAll(): Promise<void> {
    for (;;) {
      const [next] = this.#waiting
      if (next === undefined) break
      const [id, incident] = next
      await this.#write(incident)
      // A newer state may have come meanwhile: then it is written next.
      if (this.#waiting.get(id) === incident) this.#waiting.delete(id)
    }
    this.#writing = null
  }

  async #write(incident: Incident): Promise<void> {
    const { maxIncidents, maxIncidentSize } = this.#options
    try {
      // The state directory too: somebody may have removed it.
      for (const path of [this.#options.stateDir, this.files.directory]) await makeDirectory(path)
      if (!this.#swept) await this.files.sweep()
      this.#swept = true
      await this.files.write(incident.id, incidentJson(incident, maxIncidentSize))
      await this.files.prune(maxIncidents)
      this.#mended()
    } catch (error) {
      this.#lost += 1
      this.#failed(error)
    }
  }

  #failed(error: unknown): void {
    if (this.#failing) return
    this.#failing = true
    const { log } = this.#options
    log.warn(
      { event: 'incidents-unwritable', directory: this.files.directory, error },
      `incidents cannot be written to ${this.files.directory}; the log still tells them`,
    )
  }

  #mended(): void {
    if (!this.#failing) return
    this.#failing = false
    const lost = this.#lost
    this.#lost = 0
    this.#options.log.info(
      { event: 'incidents-writable', directory: this.files.directory, lost },
      `incidents are written to ${this.files.directory} again; ${lost} were lost`,
    )
  }
}

async function makeDirectory(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error
  })
}
