import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { relative, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { formatElapsed, type Milliseconds, ms } from '../resilience/duration.ts'
import { waitAtMost } from '../resilience/wait-at-most.ts'
import { whyForeign } from '../system/file-owner.ts'
import type { FaultKind } from './kind.ts'
import { SettingsError } from './settings-error.ts'

export interface ConfigFile {
  /** Absolute path. */
  readonly path: string
  /** For messages: relative to the working directory, if it is inside. */
  readonly name: string
  /** Its default export. */
  readonly values: Readonly<Record<string, unknown>>
}

const NAMES = ['ts', 'mts', 'js', 'mjs', 'json'].map((extension) => `punctual.config.${extension}`)

/**
 * Loads the config file: `named`, else `punctual.config.{ts,mts,js,mjs,json}` in `cwd`; undefined
 * if there is none. A module may await for as long as `timeout` (default: 10 s).
 *
 * @throws SettingsError that names the file
 */
export async function loadConfigFile(options: {
  readonly cwd: string
  readonly named?: string | undefined
  readonly timeout?: Milliseconds
  /** Whether to refuse a file that another user may have written. Default: false. */
  readonly ownOnly?: boolean
}): Promise<ConfigFile | undefined> {
  const path = options.named === undefined ? findConfigFile(options.cwd) : resolve(options.cwd, options.named)
  if (path === undefined) return undefined
  const inside = relative(options.cwd, path)
  const name = inside.startsWith('..') ? path : inside
  if (!existsSync(path)) throw fault('file-missing', `--config ${options.named}`, `no file ${path}`, 'check the path')
  if (options.ownOnly === true) refuseForeign(path, name)
  const exported = path.endsWith('.json')
    ? await readJson(path, name)
    : await importDefault(path, name, options.timeout ?? ms(10_000))
  if (typeof exported !== 'object' || exported === null || Array.isArray(exported)) {
    const form = path.endsWith('.json') ? '{ "workers": 2 }' : 'export default { workers: 2 }'
    const what = exported === undefined ? 'has no default export' : 'does not export an object of settings'
    throw fault('file-without-settings', name, what, `write ${form}`)
  }
  return { path, name, values: exported as Record<string, unknown> }
}

/** A command that only reads runs code of this user and of root, and of no other. */
function refuseForeign(path: string, name: string): void {
  const why = whyForeign(path)
  if (why === null) return
  const advice =
    'run this command as the user of the app, select the arbiter with --state-dir or PUNCTUAL_STATE_DIR, or correct the owner and mode of the file'
  throw fault('file-foreign', name, `${why} and is not loaded`, advice)
}

function findConfigFile(cwd: string): string | undefined {
  const found = NAMES.filter((name) => existsSync(resolve(cwd, name)))
  const [first] = found
  if (found.length > 1) {
    const advice = 'keep one, or choose one with --config'
    throw fault('file-ambiguous', found.join(', '), 'only one config file can apply', advice)
  }
  return first === undefined ? undefined : resolve(cwd, first)
}

async function readJson(path: string, name: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    throw fault('file-failed', name, `cannot be read: ${firstLine(error)}`, 'fix the file', { cause: error })
  }
}

/**
 * The default export of a module. The timeout keeps an await that never settles from blocking the
 * start.
 */
async function importDefault(path: string, name: string, timeout: Milliseconds): Promise<unknown> {
  const imported: Promise<{ readonly default?: unknown }> = import(pathToFileURL(path).href)
  try {
    const module = await waitAtMost(timeout, imported, () => {
      const what = `was not loaded within ${formatElapsed(timeout)}`
      throw fault('file-timed-out', name, what, 'check what it awaits')
    })
    return module.default
  } catch (error) {
    if (error instanceof SettingsError) throw error
    const what = `cannot be loaded: ${firstLine(error)}${lineOf(error, path)}`
    if (!isParsedAsCommonJs(error)) throw fault('file-failed', name, what, 'fix the file', { cause: error })
    const suggestion = name.replace(/\.(ts|js)$/, '.m$1')
    const advice = `rename it to ${suggestion}, or set "type": "module" in package.json`
    throw fault('file-failed', name, what, advice, { cause: error, suggestion })
  }
}

/**
 * Node rejects `import` and `export` in a `.ts` or `.js` file of a package with `"type":
 * "commonjs"`.
 */
function isParsedAsCommonJs(error: unknown): boolean {
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

/** The line of the file, if the stack names it. */
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
