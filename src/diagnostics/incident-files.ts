import { open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Incident, IncidentSummary } from './incident.ts'

/** Larger files, in bytes, are not incidents. */
const MAX_SIZE = 8 * 1024 * 1024
const ID = /^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$/
const CONCURRENT_READS = 8

/**
 * The incident files of a state directory. The arbiter writes them; the command line reads them
 * even if no arbiter runs.
 */
export class IncidentFiles {
  readonly directory: string

  constructor(stateDir: string) {
    this.directory = join(stateDir, 'incidents')
  }

  /** Newest first. Skips files that are not incidents. Rejects if the directory cannot be read. */
  async list(): Promise<IncidentSummary[]> {
    const ids = await this.ids()
    const summaries: IncidentSummary[] = []
    for (let start = 0; start < ids.length; start += CONCURRENT_READS) {
      const read = await Promise.all(ids.slice(start, start + CONCURRENT_READS).map((id) => this.read(id)))
      for (const incident of read) if (incident !== undefined) summaries.push(summaryOf(incident))
    }
    return summaries
  }

  /** Undefined if there is no incident with this id, or the file is not an incident. */
  async read(id: string): Promise<Incident | undefined> {
    if (!ID.test(id)) return undefined
    try {
      const path = this.#path(id)
      const found = await stat(path)
      if (!found.isFile() || found.size > MAX_SIZE) return undefined
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
  return { id, kind, at, worker, summary, outcome }
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
