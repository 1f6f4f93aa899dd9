import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { after } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../resilience/duration.ts'
import type { FaultKind } from './kind.ts'
import { SettingsError } from './settings-error.ts'

export interface ConfigFile {
  /** Absolute path. */
  readonly path: string
  /** For messages: relative where it lies in the working directory. */
  readonly name: string
  /** Its default export. */
  readonly values: Readonly<Record<string, unknown>>
}

const NAMES = ['ts', 'mts', 'js', 'mjs', 'json'].map((extension) => `punctual.config.${extension}`)

/**
 * Loads the config file: the one that is `named`, else `punctual.config.{ts,mts,js,mjs,json}` in `cwd`; undefined if there is none.
 * A module may await; it gets `limit` (default: 10 s) to do so. Throws a `SettingsError` that names the file for anything that is wrong.
 */
export async function loadConfigFile(options: {
  readonly cwd: string
  readonly named?: string | undefined
  readonly limit?: Milliseconds
}): Promise<ConfigFile | undefined> {
  const path = options.named === undefined ? findConfigFile(options.cwd) : resolve(options.cwd, options.named)
  if (path === undefined) return undefined
  const inside = relative(options.cwd, path)
  const name = inside.startsWith('..') ? path : inside
  if (!existsSync(path))
    throw fault('file-missing', `--config ${options.named}`, `there is no file ${path}`, 'check the path')
  const exported = path.endsWith('.json')
    ? await readJson(path, name)
    : await importDefault(path, name, options.limit ?? ms(10_000))
  if (typeof exported !== 'object' || exported === null || Array.isArray(exported)) {
    const form = path.endsWith('.json') ? '{ "workers": 2 }' : 'export default { workers: 2 }'
    const what = exported === undefined ? 'it has no default export' : 'its value is not an object of settings'
    throw fault('file-without-settings', name, what, `write ${form}`)
  }
  return { path, name, values: exported as Record<string, unknown> }
}

function findConfigFile(cwd: string): string | undefined {
  const found = NAMES.filter((name) => existsSync(resolve(cwd, name)))
  const [first] = found
  if (found.length > 1) {
    throw fault('file-ambiguous', found.join(', '), 'only one of them can apply', 'keep one, or choose with --config')
  }
  return first === undefined ? undefined : resolve(cwd, first)
}

async function readJson(path: string, name: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    throw fault('file-failed', name, `it cannot be read: ${firstLine(error)}`, 'mend the file', { cause: error })
  }
}

/** `default` of a module, within the limit: one that awaits something that never comes must not hold up the start for ever. */
function importDefault(path: string, name: string, limit: Milliseconds): Promise<unknown> {
  return new Promise((resolvePromise, reject) => {
    const cancel = after(limit, () => {
      const what = `it did not finish loading within ${formatElapsed(limit)}`
      reject(fault('file-timed-out', name, what, 'see what it awaits'))
    })
    import(pathToFileURL(path).href).then(
      (module: { readonly default?: unknown }) => {
        cancel()
        resolvePromise(module.default)
      },
      (error: unknown) => {
        cancel()
        const what = `it cannot be loaded: ${firstLine(error)}${lineOf(error, path)}`
        if (!isTakenForCommonJs(error))
          return reject(fault('file-failed', name, what, 'mend the file', { cause: error }))
        const suggestion = name.replace(/\.(ts|js)$/, '.m$1')
        const advice = `name it ${suggestion}, or set "type": "module" in package.json`
        reject(fault('file-failed', name, what, advice, { cause: error, suggestion }))
      },
    )
  })
}

/** Node reads `import` and `export` in a `.ts` or `.js` file as errors where the nearest package.json says `"type": "commonjs"`. */
function isTakenForCommonJs(error: unknown): boolean {
  return error instanceof SyntaxError && /outside a module|Unexpected token '(export|import)'/.test(error.message)
}

function firstLine(error: unknown): string {
  if (!(error instanceof Error)) return `it threw ${String(error)}`
  const message = error.message
    .split('\n')
    .map((line) => line.replace(/^[\s×x╭─│,|-]+/, '').trim())
    .find((line) => line !== '')
  return message === undefined ? error.name : `${error.name}: ${message}`
}

/** The line of the file, where the stack names it. */
function lineOf(error: unknown, path: string): string {
  const stack = error instanceof Error ? (error.stack ?? '') : ''
  for (const place of [pathToFileURL(path).href, path]) {
    const at = stack.indexOf(`${place}:`)
    const line = at === -1 ? null : /^\d+/.exec(stack.slice(at + place.length + 1))
    if (line !== null) return ` (line ${line[0]})`
  }
  return ''
}

function fault(
  kind: FaultKind,
  source: string,
  what: string,
  advice: string,
  { cause, suggestion }: { readonly cause?: unknown; readonly suggestion?: string } = {},
): SettingsError {
  const facts = suggestion === undefined ? {} : { suggestion }
  return new SettingsError([{ setting: null, source, kind, what, advice, ...facts }], { cause })
}
