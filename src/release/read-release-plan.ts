import { resolve } from 'node:path'
import { formatDuration, type Milliseconds, parseDuration, UNBOUNDED } from '../resilience/duration.ts'
import type { FaultKind } from '../settings/kind.ts'
import { nearestName } from '../settings/nearest-name.ts'
import type { ConfigSection } from '../settings/resolve.ts'
import type { SettingFault } from '../settings/settings-error.ts'
import type { DatabaseAddress, PlannedBackup, PlannedStep, ReleasePlan, ReleaseWork } from './release-config.ts'

/**
 * The keys of the config file that are about releases. They are checked whenever the settings are
 * read; the process that runs a release reads the plan again, from the file as it is then.
 */
export const RELEASE_SECTION: ConfigSection = {
  keys: ['release', 'releaseLock', 'backup'],
  check: ({ name, values }, env, faults) => void readReleasePlan(values, { file: name, cwd: '/', env }, faults),
}

const STEP_KEYS = ['name', 'run', 'timeout', 'rollback', 'transactional']
const BACKUP_KEYS = ['database', 'command', 'restoreCommand', 'directory', 'keep', 'tools', 'restoreOnFailure']
/** A name goes into log lines and records. */
const LONGEST_NAME = 100

export interface PlanSurroundings {
  /** The config file's name for messages. */
  readonly file: string
  /** Relative paths start here. */
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
  /** The state directory and `releaseTimeout`, where they are known: not while the settings themselves are read. */
  readonly stateDir?: string
  readonly releaseTimeout?: Milliseconds
}

type Values = Readonly<Record<string, unknown>>

/** What the config file says of releases; a plan without steps where it says nothing. What is wrong is added to `faults`. */
export function readReleasePlan(values: Values, around: PlanSurroundings, faults: SettingFault[]): ReleasePlan {
  return new PlanReader(around, faults).read(values)
}

class PlanReader {
  readonly #around: PlanSurroundings
  readonly #faults: SettingFault[]

  constructor(around: PlanSurroundings, faults: SettingFault[]) {
    this.#around = around
    this.#faults = faults
  }

  read(values: Values): ReleasePlan {
    const steps = this.#steps(values.release)
    const stateDir = this.#around.stateDir ?? '.punctual'
    const file: DatabaseAddress = { kind: 'file', path: resolve(this.#around.cwd, stateDir, 'release.lock') }
    const named = 'releaseLock' in values ? this.#address('releaseLock', values.releaseLock, true) : null
    const backup =
      'backup' in values && values.backup !== undefined ? this.#backup(values.backup, named, stateDir) : null
    const lock = named ?? backup?.database ?? file
    // A fault of the lock's own says enough.
    if (lock.kind === 'file' && (named !== null || !('releaseLock' in values))) this.#refuseTransactions(steps)
    return { steps, lock, backup }
  }

  /** A transaction, and the mark that is made in it, are a database's. */
  #refuseTransactions(steps: readonly PlannedStep[]): void {
    for (const [index, { transactional, run }] of steps.entries()) {
      if (!transactional || typeof run !== 'function') continue
      this.#fault(
        'unsupported',
        `release[${index}].transactional`,
        'needs a database, and the release lock is a file',
        'name a PostgreSQL or SQLite database in releaseLock, or leave it out',
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
    this.#faults.push({ setting: null, source: `${this.#around.file}: ${key}`, kind, what, advice, ...facts })
  }

  #steps(value: unknown): readonly PlannedStep[] {
    if (value === undefined) return []
    if (!Array.isArray(value)) {
      this.#fault(
        'wrong-type',
        'release',
        'is not a list of steps',
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
      this.#known(key, entry, STEP_KEYS)
      const { name } = entry
      if (typeof name !== 'string' || name.trim() === '' || name.length > LONGEST_NAME) {
        this.#fault('invalid', `${key}.name`, 'is no name', `write a text of at most ${LONGEST_NAME} characters`)
      } else if (names.has(name)) {
        this.#fault('duplicate', `${key}.name`, `"${name}" is the name of another step too`, 'give each its own')
      }
      names.add(String(name))
      const run = this.#work(`${key}.run`, entry.run)
      const rollback = entry.rollback === undefined ? null : this.#work(`${key}.rollback`, entry.rollback)
      const transactional = this.#flag(`${key}.transactional`, entry.transactional)
      if (transactional && typeof run !== 'function') {
        this.#fault(
          'unsupported',
          `${key}.transactional`,
          'needs a function: a command has connections of its own',
          'leave it out, or write run: async ({ query }) => …',
        )
      }
      return [
        { name: String(name), run, rollback, timeout: this.#timeout(`${key}.timeout`, entry.timeout), transactional },
      ]
    })
  }

  #known(key: string, entry: Values, names: readonly string[]): void {
    for (const name of Object.keys(entry)) {
      if (names.includes(name)) continue
      const nearest = nearestName(name, names)
      const [place, what] = [`${key}.${name}`, 'there is no such option']
      if (nearest === undefined) this.#fault('unknown-name', place, what, `there are ${names.join(', ')}`)
      else this.#fault('unknown-name', place, what, `did you mean ${nearest}?`, { suggestion: nearest })
    }
  }

  #work(key: string, value: unknown): ReleaseWork {
    if (typeof value === 'function') return value as ReleaseWork
    if (typeof value === 'string' && value.trim() !== '') return value
    this.#fault(
      'wrong-type',
      key,
      'is neither a command nor a function',
      "write 'npm run migrate' or async (context) => …",
    )
    return ''
  }

  #flag(key: string, value: unknown): boolean {
    if (value === undefined || typeof value === 'boolean') return value === true
    this.#fault('wrong-type', key, 'is neither true nor false', 'write true or leave it out')
    return false
  }

  #timeout(key: string, value: unknown): Milliseconds | null {
    if (value === undefined) return null
    const limit = typeof value === 'string' ? parseDuration(value) : undefined
    if (limit === undefined || limit === UNBOUNDED || limit < 1) {
      this.#fault(
        'invalid',
        key,
        'is not a duration',
        'write one with its unit, such as 90s or 5m; a step needs a limit',
      )
      return null
    }
    const { releaseTimeout } = this.#around
    if (releaseTimeout !== undefined && limit > releaseTimeout) {
      const most = formatDuration(releaseTimeout)
      this.#fault(
        'rule-broken',
        key,
        `is longer than releaseTimeout (${most})`,
        'raise releaseTimeout, which is for all steps together',
      )
    }
    return limit
  }

  /** `postgres://…`, `sqlite:…`, `file:…` or `env:NAME`. What it holds is never told: it may have a password. */
  #address(key: string, value: unknown, mayBeFile: boolean): DatabaseAddress | null {
    const forms = `postgres://…, sqlite:path${mayBeFile ? ', file:path' : ''} or env:NAME`
    if (value === undefined) {
      this.#fault('missing', key, 'is there, and undefined', 'set the variable it is taken from, or leave the key out')
      return null
    }
    if (typeof value !== 'string') {
      this.#fault('wrong-type', key, 'is not a text', `write ${forms}`)
      return null
    }
    const variable = /^env:(\w+)$/.exec(value)?.[1]
    if (variable !== undefined) {
      const held = this.#around.env[variable]
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
        'is no URL',
        'write postgres://user:password@host/database, with signs like # and @ as %23 and %40',
      )
      return null
    }
    const path = /^(sqlite|file):(?:\/\/)?(.+)$/.exec(value)
    if (path !== null && (path[1] === 'sqlite' || mayBeFile)) {
      return { kind: path[1] === 'sqlite' ? 'sqlite' : 'file', path: resolve(this.#around.cwd, path[2] ?? '') }
    }
    this.#fault('invalid', key, 'is of no form that is known', `write ${forms}`)
    return null
  }

  #backup(value: unknown, lock: DatabaseAddress | null, stateDir: string): PlannedBackup | null {
    if (!isObject(value)) {
      this.#fault('wrong-type', 'backup', 'is not an object', "write { database: 'env:DATABASE_URL' }")
      return null
    }
    this.#known('backup', value, BACKUP_KEYS)
    const command = this.#text('backup.command', value.command)
    const named = 'database' in value ? this.#address('backup.database', value.database, false) : lock
    const database = command !== null || named?.kind === 'file' ? null : named
    if (database === null && command === null) {
      const names = this.#faults.some(({ source }) => /: (backup\.database|releaseLock)/.test(source))
      if (!names)
        this.#fault('missing', 'backup', 'names no database', "write { database: 'env:DATABASE_URL' } or a command")
    }
    const { keep = 5, restoreOnFailure = false } = value
    if (typeof keep !== 'number' || !Number.isSafeInteger(keep) || keep < 1) {
      this.#fault('invalid', 'backup.keep', 'is not a whole number from 1', 'write how many are to be kept')
    }
    if (restoreOnFailure !== 'always' && typeof restoreOnFailure !== 'boolean') {
      this.#fault('invalid', 'backup.restoreOnFailure', "is not true, false or 'always'", 'write one of them')
    }
    const restoreCommand = this.#text('backup.restoreCommand', value.restoreCommand)
    if (command !== null && restoreOnFailure !== false && restoreCommand === null) {
      this.#fault('missing', 'backup.restoreOnFailure', 'needs to know how', 'write restoreCommand beside command')
    }
    const tools = this.#text('backup.tools', value.tools)
    const { cwd } = this.#around
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
    this.#fault('wrong-type', key, 'is not a text', 'write one, or leave it out')
    return null
  }
}

function isObject(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
