import { open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** A value that was set at run time. */
export interface SetValue {
  /** Written as a flag would be. */
  readonly value: string
  /** When it was set, in ISO 8601. */
  readonly at: string
  /** The app has declared it as a secret: it is stored here, and shown nowhere. */
  readonly secret?: true
}

/** By name, in the order in which they were set. */
export type SetValues = ReadonlyMap<string, SetValue>

export interface SetFile {
  readonly values: SetValues
  /** Why the file could not be read; null if it was read or does not exist. */
  readonly fault: SetFileFault | null
}

export interface SetFileFault {
  readonly path: string
  readonly why: string
}

const VERSION = 1

function pathOf(stateDir: string): string {
  return join(stateDir, 'set.json')
}

/** Reads the file. Never rejects: a damaged file must not prevent a start. */
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

/** Renames a damaged file, so that it can be inspected; returns its new path. Never rejects. */
export async function setAsideSetFile(stateDir: string): Promise<string> {
  const aside = `${pathOf(stateDir)}.damaged`
  await rename(pathOf(stateDir), aside).catch(() => {})
  return aside
}

/** Writes the file atomically; it is on disk when this resolves. */
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
  if (version !== VERSION) throw new Error(`its version is ${String(version)}, expected ${VERSION}`)
  if (typeof set !== 'object' || set === null) throw new Error('"set" is missing')
  const values = new Map<string, SetValue>()
  for (const [name, entry] of Object.entries(set)) {
    const { value, at, secret } = (entry ?? {}) as Partial<SetValue>
    if (typeof value !== 'string' || typeof at !== 'string') throw new Error(`${name} has no value or no time`)
    values.set(name, secret === true ? { value, at, secret } : { value, at })
  }
  return values
}
