import { open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Incident, IncidentSummary } from './incident.ts'

/** Files above this many bytes are none of ours. */
const LARGEST = 8 * 1024 * 1024
const ID = /^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$/
const READ_AT_ONCE = 8

/** The incidents of a state directory as files: what the arbiter writes, and the command line reads even when no arbiter runs. */
export class IncidentFiles {
  readonly directory: string

  constructor(stateDir: string) {
    this.directory = join(stateDir, 'incidents')
  }

  /** Newest first. Files that are not incidents are left out. Rejects if the directory is there and cannot be read. */
  async list(): Promise<IncidentSummary[]> {
    const ids = await this.ids()
    const summaries: IncidentSummary[] = []
    for (let start = 0; start < ids.length; start += READ_AT_ONCE) {
      const read = await Promise.all(ids.slice(start, start + READ_AT_ONCE).map((id) => this.read(id)))
      for (const incident of read) if (incident !== undefined) summaries.push(summaryOf(incident))
    }
    return summaries
  }

  /** One incident; undefined if there is none of this id, the id is no id, or the file is not an incident. */
  async read(id: string): Promise<Incident | undefined> {
    if (!ID.test(id)) return undefined
    try {
      const path = this.#path(id)
      const found = await stat(path)
      if (!found.isFile() || found.size > LARGEST) return undefined
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

  /** Whole or not at all: a reader never sees half a file. */
  async write(id: string, json: string): Promise<void> {
    if (!ID.test(id)) throw new Error(`"${id}" is no id of an incident`)
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

  /** Removes the oldest beyond `kept`. */
  async prune(kept: number): Promise<void> {
    const ids = await this.ids()
    for (const id of ids.slice(kept)) await rm(this.#path(id), { force: true })
  }

  /** Removes what an arbiter killed while writing has left. Only the holder of the state directory's lock may. */
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
