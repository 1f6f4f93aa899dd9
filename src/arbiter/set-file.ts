import { open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** A value that somebody has set while Punctual ran. */
export interface SetValue {
  /** As a flag would be written. */
  readonly value: string
  /** When; ISO 8601. */
  readonly at: string
}

/** By name, the one that was set last at the end. */
export type SetValues = ReadonlyMap<string, SetValue>

export interface SetFile {
  readonly values: SetValues
  /** Why nothing of it could be read; null where all is well, or there is no such file. */
  readonly fault: SetFileFault | null
}

export interface SetFileFault {
  readonly path: string
  /** Ends a sentence. */
  readonly why: string
}

const VERSION = 1

function pathOf(stateDir: string): string {
  return join(stateDir, 'set.json')
}

/** What was set on this state directory. Never rejects: a file that cannot be read must not keep anything from starting. */
export async function readSetFile(stateDir: string): Promise<SetFile> {
  const path = pathOf(stateDir)
  try {
    return { values: parse(await readFile(path, 'utf8')), fault: null }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const isThere = code !== 'ENOENT' && code !== 'ENOTDIR'
    return { values: new Map(), fault: isThere ? { path, why: message } : null }
  }
}

/** Moves a file that cannot be read out of the way, so that it can be looked at; gives its new path. Never rejects. */
export async function setAsideSetFile(stateDir: string): Promise<string> {
  const aside = `${pathOf(stateDir)}.damaged`
  await rename(pathOf(stateDir), aside).catch(() => {})
  return aside
}

/** Whole or not at all, and on the disk when it resolves. */
export async function writeSetFile(stateDir: string, values: SetValues): Promise<void> {
  const path = pathOf(stateDir)
  const temporary = `${path}.${process.pid}.tmp`
  try {
    const file = await open(temporary, 'w', 0o600)
    try {
      await file.writeFile(`${JSON.stringify({ version: VERSION, set: Object.fromEntries(values) }, null, 2)}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    throw error
  }
}

function parse(text: string): SetValues {
  const { version, set } = JSON.parse(text) as { readonly version?: unknown; readonly set?: unknown }
  if (version !== VERSION) throw new Error(`it is of version ${String(version)}, and this Punctual knows ${VERSION}`)
  if (typeof set !== 'object' || set === null) throw new Error('it has no "set"')
  const values = new Map<string, SetValue>()
  for (const [name, entry] of Object.entries(set)) {
    const { value, at } = (entry ?? {}) as Partial<SetValue>
    if (typeof value !== 'string' || typeof at !== 'string') throw new Error(`${name} has no value, or no time`)
    values.set(name, { value, at })
  }
  return values
}
