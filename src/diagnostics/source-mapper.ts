import { readFile, stat } from 'node:fs/promises'
import { SourceMap, type SourceMapPayload } from 'node:module'
import { dirname, isAbsolute, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { StackFrame } from './incident.ts'

/** Larger files are not mapped, since reading them takes the arbiter's time. In bytes. */
const MAX_SOURCE_SIZE = 16 * 1024 * 1024
const MAX_MAP_SIZE = 16 * 1024 * 1024
/** Cached maps; the frames of a stack are rarely from more files. */
const MAX_MAPS = 16
const COMMENT = /^[ \t]*\/\/[#@] ?sourceMappingURL=(\S+)[ \t]*$/gm

interface Mapped {
  readonly modified: number
  /** Null if the file has no usable map. */
  readonly map: SourceMap | null
  /** The folder to which the sources of the map are relative. */
  readonly base: string
  readonly root: string
}

/**
 * Maps the frames of compiled files to their sources, with the source map that the compiled file
 * names (inline, or a local file). A frame that cannot be mapped is returned unchanged. Never
 * rejects.
 */
export class SourceMapper {
  readonly #files = new Map<string, Mapped>()

  async map(frames: readonly StackFrame[]): Promise<readonly StackFrame[]> {
    const mapped: StackFrame[] = []
    // One after the other, since the frames of a stack mostly share a file.
    for (const frame of frames) mapped.push(await this.#mapFrame(frame))
    return mapped
  }

  async #mapFrame(frame: StackFrame): Promise<StackFrame> {
    try {
      const path = frame.file.startsWith('file:') ? fileURLToPath(frame.file) : frame.file
      if (!isAbsolute(path)) return frame
      const { map, base, root } = await this.#load(path)
      if (map === null) return frame
      const entry = map.findEntry(frame.line - 1, frame.column - 1)
      if (!('originalSource' in entry) || entry.originalSource === undefined) return frame
      const file = sourcePath(entry.originalSource, root, base)
      return { ...frame, file, line: entry.originalLine + 1, column: entry.originalColumn + 1 }
    } catch {
      return frame
    }
  }

  async #load(path: string): Promise<Mapped> {
    const { mtimeMs, size } = await regularFile(path)
    const known = this.#files.get(path)
    if (known?.modified === mtimeMs) return known
    const loaded = { modified: mtimeMs, ...(size > MAX_SOURCE_SIZE ? NO_MAP : await readMap(path)) }
    this.#files.delete(path)
    this.#files.set(path, loaded)
    for (const oldest of this.#files.keys()) {
      if (this.#files.size <= MAX_MAPS) break
      this.#files.delete(oldest)
    }
    return loaded
  }
}

const NO_MAP = { map: null, base: '', root: '' } as const

async function readMap(path: string): Promise<Omit<Mapped, 'modified'>> {
  try {
    const source = await readFile(path, 'utf8')
    const url = [...source.matchAll(COMMENT)].at(-1)?.[1]
    if (url === undefined) return NO_MAP
    const [text, base] = url.startsWith('data:') ? [inline(url), dirname(path)] : await beside(url, path)
    const payload = JSON.parse(text) as SourceMapPayload
    return { map: new SourceMap(payload), base, root: payload.sourceRoot ?? '' }
  } catch {
    return NO_MAP
  }
}

function inline(url: string): string {
  const comma = url.indexOf(',')
  const data = url.slice(comma + 1)
  return /;base64$/.test(url.slice(0, comma)) ? Buffer.from(data, 'base64').toString() : decodeURIComponent(data)
}

async function beside(url: string, path: string): Promise<[string, string]> {
  if (/^[a-z]+:\/\//i.test(url) && !url.startsWith('file:')) throw new Error('the source map is not a local file')
  const file = url.startsWith('file:') ? fileURLToPath(url) : resolve(dirname(path), decodeURIComponent(url))
  const { size } = await regularFile(file)
  if (size > MAX_MAP_SIZE) throw new Error('the source map is too large')
  return [await readFile(file, 'utf8'), dirname(file)]
}

/** Rejects for anything else: reading a pipe or a device might never end. */
async function regularFile(path: string): Promise<{ mtimeMs: number; size: number }> {
  const found = await stat(path)
  if (!found.isFile()) throw new Error('not a regular file')
  return found
}

function sourcePath(source: string, root: string, base: string): string {
  if (source.startsWith('file:')) return fileURLToPath(source)
  if (/^[a-z][a-z+.-]*:/i.test(source)) return source
  const rooted = root.startsWith('file:') ? fileURLToPath(root) : root
  return resolve(base, rooted, source)
}
