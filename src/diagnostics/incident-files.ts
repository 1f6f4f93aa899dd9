import { open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Incident, IncidentSummary } from './incident.ts'

/** Larger files, in bytes, are not incidents. */
const MAX_SIZE = 8 * 1024 * 1024
const ID = /^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$/
/** Of the summary in a list, in characters. */
const MAX_SUMMARY = 2_000

interface Known {
  /** Null for a file that is not an incident. */
  readonly summary: IncidentSummary | null
  /** In milliseconds since the Unix epoch; null if the file could not be examined. */
  readonly changedAt: number | null
}

/**
 * The incident files of a state directory. The arbiter writes them; the command line reads them
 * even if no arbiter runs.
 */
export class IncidentFiles {
  readonly directory: string
  /** By id: what `list` has read before, so that a file is read once. */
  readonly #known = new Map<string, Known>()
  #writes = 0

  constructor(stateDir: string) {
    this.directory = join(stateDir, 'incidents')
  }

  /**
   * The newest `limit`, newest first. Skips files that are not incidents, or larger than `maxSize`
   * bytes. Files are read one at a time, since each may be large, and those that an earlier list
   * has read are not read again. Rejects if the directory cannot be read.
   */
  async list(limit: number = Number.POSITIVE_INFINITY, maxSize: number = MAX_SIZE): Promise<IncidentSummary[]> {
    const ids = (await this.ids()).slice(0, limit)
    const summaries: IncidentSummary[] = []
    for (const id of ids) {
      const summary = await this.#summary(id, maxSize)
      if (summary !== null) summaries.push(summary)
    }
    const listed = new Set(ids)
    for (const id of this.#known.keys()) if (!listed.has(id)) this.#known.delete(id)
    return summaries
  }

  /** Null if the file is not an incident. Such a file is read again when it has changed. */
  async #summary(id: string, maxSize: number): Promise<IncidentSummary | null> {
    const known = this.#known.get(id)
    if (known !== undefined && known.summary !== null) return known.summary
    const writes = this.#writes
    const changedAt = await stat(this.#path(id)).then(
      ({ mtimeMs }) => mtimeMs,
      () => null,
    )
    if (known !== undefined && known.changedAt === changedAt) return null
    const incident = await this.read(id, maxSize)
    const summary = incident === undefined ? null : summaryOf(incident)
    // A file that was written meanwhile may have been read before that.
    if (writes === this.#writes) this.#known.set(id, { summary, changedAt })
    return summary
  }

  /**
   * Undefined if there is no incident with this id, the file is not an incident, or it is larger
   * than `maxSize` bytes.
   */
  async read(id: string, maxSize: number = MAX_SIZE): Promise<Incident | undefined> {
    if (!ID.test(id)) return undefined
    try {
      const path = this.#path(id)
      const found = await stat(path)
      if (!found.isFile() || found.size > maxSize) return undefined
      const file = await open(path, 'r')
      try {
        const incident: unknown = JSON.parse(await file.readFile('utf8'))
        return isIncident(incident) && incident.id === id ? incident : undefined
      } finally {
        await file.close()
      }
    } catch {
      return undefined
    }
  }

  /** Newest first. */
  async ids(): Promise<string[]> {
    const names = await readdir(this.directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []
      throw error
    })
    return names
      .filter((name) => name.endsWith('.json') && ID.test(name.slice(0, -5)))
      .map((name) => name.slice(0, -5))
      .sort()
      .reverse()
  }

  /** Writes a file atomically. */
  async write(id: string, json: string): Promise<void> {
    if (!ID.test(id)) throw new Error(`"${id}" is not the id of an incident`)
    const temporary = join(this.directory, `.${id}.${process.pid}.tmp`)
    try {
      const file = await open(temporary, 'w', 0o600)
      try {
        await file.writeFile(json)
      } finally {
        await file.close()
      }
      await rename(temporary, this.#path(id))
      this.#writes += 1
      this.#known.delete(id)
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => {})
      throw error
    }
  }

  /** Deletes the oldest files beyond `kept`. */
  async prune(kept: number): Promise<void> {
    const ids = await this.ids()
    for (const id of ids.slice(kept)) await rm(this.#path(id), { force: true })
  }

  /** Deletes temporary files of a killed arbiter. Requires the lock of the state directory. */
  async sweep(): Promise<void> {
    const names = await readdir(this.directory)
    for (const name of names) {
      if (name.startsWith('.') && name.endsWith('.tmp')) await rm(join(this.directory, name), { force: true })
    }
  }

  #path(id: string): string {
    return join(this.directory, `${id}.json`)
  }
}

export function summaryOf({ id, kind, at, worker, summary, outcome }: Incident): IncidentSummary {
  const short = summary.length <= MAX_SUMMARY ? summary : `${summary.slice(0, MAX_SUMMARY)}…`
  return { id, kind, at, worker, summary: short, outcome }
}

function isIncident(value: unknown): value is Incident {
  if (typeof value !== 'object' || value === null) return false
  const { id, kind, at, summary, outcome, evidence, worker } = value as Partial<Record<keyof Incident, unknown>>
  const texts = [id, kind, at, summary, outcome].every((text) => typeof text === 'string')
  return texts && Array.isArray(evidence) && (worker === null || isWorker(worker))
}

function isWorker(worker: unknown): boolean {
  if (typeof worker !== 'object' || worker === null) return false
  const { id, pid } = worker as Partial<Record<'id' | 'pid', unknown>>
  return typeof id === 'number' && typeof pid === 'number'
}
