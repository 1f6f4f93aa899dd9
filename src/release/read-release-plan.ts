import { resolve } from 'node:path'
import { nearestName } from '../errors/check-options.ts'
import { formatDuration, type Milliseconds, parseDuration, UNBOUNDED } from '../resilience/duration.ts'
import type { FaultKind } from '../settings/kind.ts'
import type { ConfigSection } from '../settings/resolve.ts'
import type { SettingFault } from '../settings/settings-error.ts'
import type { DatabaseAddress, PlannedBackup, PlannedStep, ReleasePlan, ReleaseWork } from './release-config.ts'

/**
 * The keys of the config file that are about releases. They are validated whenever the settings are
 * read; the release process reads the plan again, because the file may have changed since.
 */
export const RELEASE_SECTION: ConfigSection = {
  keys: ['release', 'releaseLock', 'backup'],
  check: ({ name, values }, env, faults) => void readReleasePlan(values, { file: name, cwd: '/', env }, faults),
}

const STEP_KEYS = ['name', 'run', 'timeout', 'rollback', 'transactional']
const BACKUP_KEYS = ['database', 'command', 'restoreCommand', 'directory', 'keep', 'tools', 'restoreOnFailure']
/** In characters: names go into log lines and records. */
const MAX_NAME_LENGTH = 100

export interface PlanOptions {
  /** Name of the config file, for messages. */
  readonly file: string
  /** The base of relative paths. */
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** Unknown while the settings themselves are being read. */
  readonly stateDir?: string
  readonly releaseTimeout?: Milliseconds
}

type Values = Readonly<Record<string, unknown>>

/**
 * Reads the release plan of a config file; without release keys it has no steps. Adds errors to
 * `faults`.
 */
export function readReleasePlan(values: Values, options: PlanOptions, faults: SettingFault[]): ReleasePlan {
  return new PlanReader(options, faults).read(values)
}

class PlanReader {
  readonly #options: PlanOptions
  readonly #faults: SettingFault[]

  constructor(options: PlanOptions, faults: SettingFault[]) {
    this.#options = options
    this.#faults = faults
  }

  read(values: Values): ReleasePlan {
    const steps = this.#steps(values.release)
    const stateDir = this.#options.stateDir ?? '.punctual'
    const file: DatabaseAddress = { kind: 'file', path: resolve(this.#options.cwd, stateDir, 'release.lock') }
    const named = 'releaseLock' in values ? this.#address('releaseLock', values.releaseLock, true) : null
    const backup =
      'backup' in values && values.backup !== undefined ? this.#backup(values.backup, named, stateDir) : null
    const lock = named ?? backup?.database ?? file
    // A fault in releaseLock itself is reported instead.
    if (lock.kind === 'file' && (named !== null || !('releaseLock' in values))) this.#refuseTransactions(steps)
    return { steps, lock, backup }
  }

  /** A transactional step needs a database for its transaction and its mark. */
  #refuseTransactions(steps: readonly PlannedStep[]): void {
    for (const [index, { transactional, run }] of steps.entries()) {
      if (!transactional || typeof run !== 'function') continue
      this.#fault(
        'unsupported',
        `release[${index}].transactional`,
        'needs a database, but the release lock is a file',
        'set releaseLock to a PostgreSQL or SQLite database, or remove it',
      )
    }
  }

  #fault(
    kind: FaultKind,
    key: string,
    what: string,
    advice: string,
    facts: Pick<SettingFault, 'suggestion'> = {},
  ): void {
    this.#faults.push({ setting: null, source: `${this.#options.file}: ${key}`, kind, what, advice, ...facts })
  }

  #steps(value: unknown): readonly PlannedStep[] {
    if (value === undefined) return []
    if (!Array.isArray(value)) {
      this.#fault(
        'wrong-type',
        'release',
        'is not an array of steps',
        "write release: [{ name: 'migrate', run: 'npm run migrate' }]",
      )
      return []
    }
    const names = new Set<string>()
    return value.flatMap((entry: unknown, index) => {
      const key = `release[${index}]`
      if (!isObject(entry)) {
        this.#fault('wrong-type', key, 'is not a step', "write { name: 'migrate', run: 'npm run migrate' }")
        return []
      }
      this.#checkKeys(key, entry, STEP_KEYS)
      const { name } = entry
      if (typeof name !== 'string' || name.trim() === '' || name.length > MAX_NAME_LENGTH) {
        this.#fault(
          'invalid',
          `${key}.name`,
          'is not a valid name',
          `use a non-empty string of at most ${MAX_NAME_LENGTH} characters`,
        )
      } else if (names.has(name)) {
        this.#fault(
          'duplicate',
          `${key}.name`,
          `"${name}" is already the name of another step`,
          'give each step its own name',
        )
      }
      names.add(String(name))
      const run = this.#work(`${key}.run`, entry.run)
      const rollback = entry.rollback === undefined ? null : this.#work(`${key}.rollback`, entry.rollback)
      const transactional = this.#flag(`${key}.transactional`, entry.transactional)
      if (transactional && typeof run !== 'function') {
        this.#fault(
          'unsupported',
          `${key}.transactional`,
          'needs a function: a command opens its own connections',
          'remove it, or write run: async ({ query }) => …',
        )
      }
      return [
        { name: String(name), run, rollback, timeout: this.#timeout(`${key}.timeout`, entry.timeout), transactional },
      ]
    })
  }

  #checkKeys(key: string, entry: Values, names: readonly string[]): void {
    for (const name of Object.keys(entry)) {
      if (names.includes(name)) continue
      const nearest = nearestName(name, names)
      const [place, what] = [`${key}.${name}`, 'unknown option']
      if (nearest === undefined) this.#fault('unknown-name', place, what, `valid options: ${names.join(', ')}`)
      else this.#fault('unknown-name', place, what, `did you mean ${nearest}?`, { suggestion: nearest })
    }
  }

  #work(key: string, value: unknown): ReleaseWork {
    if (typeof value === 'function') return value as ReleaseWork
    if (typeof value === 'string' && value.trim() !== '') return value
    this.#fault('wrong-type', key, 'is not a command or a function', "write 'npm run migrate' or async (context) => …")
    return ''
  }

  #flag(key: string, value: unknown): boolean {
    if (value === undefined || typeof value === 'boolean') return value === true
    this.#fault('wrong-type', key, 'is not a boolean', 'use true, or remove it')
    return false
  }

  #timeout(key: string, value: unknown): Milliseconds | null {
    if (value === undefined) return null
    const timeout = typeof value === 'string' ? parseDuration(value) : undefined
    if (timeout === undefined || timeout === UNBOUNDED || timeout < 1) {
      this.#fault('invalid', key, 'is not a duration', 'use a value such as 90s or 5m; a step cannot be unbounded')
      return null
    }
    const { releaseTimeout } = this.#options
    if (releaseTimeout !== undefined && timeout > releaseTimeout) {
      const most = formatDuration(releaseTimeout)
      this.#fault(
        'rule-broken',
        key,
        `is longer than releaseTimeout (${most})`,
        'raise releaseTimeout, which covers all steps together',
      )
    }
    return timeout
  }

  /**
   * Reads `postgres://…`, `sqlite:…`, `file:…` or `env:NAME`. Never prints the value: it may hold a
   * password.
   */
  #address(key: string, value: unknown, mayBeFile: boolean): DatabaseAddress | null {
    const forms = `postgres://…, sqlite:path${mayBeFile ? ', file:path' : ''} or env:NAME`
    if (value === undefined) {
      this.#fault('missing', key, 'is undefined', 'set the variable it comes from, or remove the key')
      return null
    }
    if (typeof value !== 'string') {
      this.#fault('wrong-type', key, 'is not a string', `use ${forms}`)
      return null
    }
    const variable = /^env:(\w+)$/.exec(value)?.[1]
    if (variable !== undefined) {
      const held = this.#options.env[variable]
      if (held !== undefined && held !== '' && !held.startsWith('env:')) {
        return this.#address(`${key} (${variable})`, held, mayBeFile)
      }
      this.#fault('missing', key, `the variable ${variable} is not set`, `set it to ${forms}`)
      return null
    }
    if (/^postgres(ql)?:\/\//.test(value)) {
      if (URL.canParse(value)) return { kind: 'postgres', url: value }
      this.#fault(
        'invalid',
        key,
        'is not a valid URL',
        'use postgres://user:password@host/database, with characters such as # and @ as %23 and %40',
      )
      return null
    }
    const path = /^(sqlite|file):(?:\/\/)?(.+)$/.exec(value)
    if (path !== null && (path[1] === 'sqlite' || mayBeFile)) {
      return { kind: path[1] === 'sqlite' ? 'sqlite' : 'file', path: resolve(this.#options.cwd, path[2] ?? '') }
    }
    this.#fault('invalid', key, 'has an unknown form', `use ${forms}`)
    return null
  }

  #backup(value: unknown, lock: DatabaseAddress | null, stateDir: string): PlannedBackup | null {
    if (!isObject(value)) {
      this.#fault('wrong-type', 'backup', 'is not an object', "write { database: 'env:DATABASE_URL' }")
      return null
    }
    this.#checkKeys('backup', value, BACKUP_KEYS)
    const command = this.#text('backup.command', value.command)
    const named = 'database' in value ? this.#address('backup.database', value.database, false) : lock
    const database = command !== null || named?.kind === 'file' ? null : named
    if (database === null && command === null) {
      const names = this.#faults.some(({ source }) => /: (backup\.database|releaseLock)/.test(source))
      if (!names) this.#fault('missing', 'backup', 'has no database', "set database: 'env:DATABASE_URL', or command")
    }
    const { keep = 5, restoreOnFailure = false } = value
    if (typeof keep !== 'number' || !Number.isSafeInteger(keep) || keep < 1) {
      this.#fault('invalid', 'backup.keep', 'is not a positive integer', 'set how many backups to keep')
    }
    if (restoreOnFailure !== 'always' && typeof restoreOnFailure !== 'boolean') {
      this.#fault('invalid', 'backup.restoreOnFailure', "is not true, false or 'always'", 'use one of them')
    }
    const restoreCommand = this.#text('backup.restoreCommand', value.restoreCommand)
    if (command !== null && restoreOnFailure !== false && restoreCommand === null) {
      this.#fault('missing', 'backup.restoreOnFailure', 'needs restoreCommand', 'set restoreCommand beside command')
    }
    const tools = this.#text('backup.tools', value.tools)
    const { cwd } = this.#options
    return {
      database,
      command,
      restoreCommand,
      directory: resolve(cwd, this.#text('backup.directory', value.directory) ?? resolve(cwd, stateDir, 'backups')),
      keep: Number(keep),
      tools: tools === null ? null : resolve(cwd, tools),
      restoreOnFailure: restoreOnFailure === 'always' ? 'always' : restoreOnFailure === true ? 'unused' : 'never',
    }
  }

  #text(key: string, value: unknown): string | null {
    if (value === undefined) return null
    if (typeof value === 'string' && value.trim() !== '') return value
    this.#fault('wrong-type', key, 'is not a string', 'use a string, or remove it')
    return null
  }
}

function isObject(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
