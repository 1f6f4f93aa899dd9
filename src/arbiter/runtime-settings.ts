import type { Log } from '../diagnostics/log.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import {
  type FromMain,
  type FromWatchdog,
  RUNTIME_TOPIC,
  type RuntimeToArbiter,
  type RuntimeToWorker,
  type ToWorker,
} from '../ipc/messages.ts'
import { encodeChange, type WorkerConfig } from '../ipc/worker-config.ts'
import { wallClock } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../resilience/duration.ts'
import { overlaySettings, type SetTexts } from '../settings/overlay.ts'
import { recordOf, type SettingName } from '../settings/records.ts'
import { isSetting } from '../settings/resolve.ts'
import type { ResolvedSettings, Settings } from '../settings/settings.ts'
import { settingsReport } from '../settings/settings-report.ts'
import { Asks, type Reply } from './asks.ts'
import { DeclaredValues } from './declared-values.ts'
import type { Exchange } from './exchange.ts'
import { type SetValue, type SetValues, writeSetFile } from './set-file.ts'
import type { DeclaredInForce, SetOutcome, SettingsControl, SettingsInForce } from './settings-control.ts'
import { tellChange, tellReplies, tellUnsaved } from './tell-change.ts'
import { unknownName } from './unknown-name.ts'

/** How long workers have to say whether they take a value, and again to say that they have it. */
const ANSWER_LIMIT: Milliseconds = ms(2_000)

export interface RuntimeSettingsOptions {
  /** As they are where nothing is set. */
  readonly base: ResolvedSettings
  /** What was set before this start and still applies. */
  readonly set: SetValues
  readonly configFile: string | null
  readonly stateDir: string
  readonly exchange: Exchange
  readonly log: Pick<Log, 'info' | 'warn'>
  /** Makes these the settings of the arbiter itself. */
  readonly adopt: (settings: Settings) => void
  readonly order: (worker: number, message: ToWorker) => void
  /** All whose process runs; one that boots is told as well, but not waited for. */
  readonly workers: () => readonly { readonly id: number; readonly isBooting: boolean }[]
}

type Change = ReadonlyMap<string, string | null>

/**
 * What `punctual set` and `unset` do. A change is checked whole before anything is changed: settings of Punctual against their records and
 * rules, values of the app by every worker that has declared them. Then it is written down, so that workers, generations and arbiters to come
 * start with it, and told to all that run.
 */
export class RuntimeSettings implements SettingsControl {
  readonly #options: RuntimeSettingsOptions
  readonly #declared = new DeclaredValues()
  readonly #asks = new Asks()
  readonly #set: Map<string, SetValue>
  #resolved: ResolvedSettings
  /** One change after the other: each is checked against what the last has left. */
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: RuntimeSettingsOptions) {
    this.#options = options
    this.#set = new Map(options.set)
    this.#resolved = overlaySettings(options.base, this.#texts(isSetting))
    options.exchange.listen(RUNTIME_TOPIC, (worker, message) => this.#heard(worker, message as RuntimeToArbiter))
    options.exchange.onLeft((worker) => {
      this.#declared.left(worker)
      this.#asks.left(worker)
    })
  }

  get settings(): Settings {
    return this.#resolved.settings
  }

  /** What a worker that is started now is told of it. */
  forWorker(): Pick<WorkerConfig, 'settings' | 'set'> {
    return { settings: this.settings, set: this.#texts((name) => !isSetting(name)) }
  }

  /** By name, for `/status`. */
  setTexts(): Readonly<Record<string, string>> {
    return this.#texts(() => true)
  }

  /** Takes what answers a change of settings; false for anything else a worker has said. */
  told(worker: number, message: FromMain | FromWatchdog): boolean {
    if (message.type !== 'settings-changed') return false
    this.#asks.answered(worker, message.ask, { ok: true, value: '' })
    return true
  }

  inForce(): SettingsInForce {
    return {
      ...settingsReport(this.#resolved, this.#options.configFile),
      pid: process.pid,
      set: Object.fromEntries(this.#set),
      declared: this.#declared.names().map((name) => this.#declaredInForce(name)),
    }
  }

  set(texts: SetTexts, force: boolean): Promise<SetOutcome> {
    return this.#inTurn(async () => {
      const names = Object.keys(texts)
      for (const name of names) this.#mustBeKnown(name, force)
      const resolved = overlaySettings(
        this.#options.base,
        { ...this.#texts(isSetting), ...pick(texts, isSetting) },
        names,
      )
      const ofApp = await this.#check(pick(texts, (name) => !isSetting(name)))
      const ofPunctual = names.filter(isSetting).map((name) => [name, format(resolved, name)] as const)
      return this.#commit(new Map([...ofPunctual, ...Object.entries(ofApp)]), resolved)
    })
  }

  unset(names: readonly string[]): Promise<SetOutcome> {
    return this.#inTurn(async () => {
      const wanted = names.length === 0 ? [...this.#set.keys()] : names
      for (const name of wanted) if (!this.#set.has(name)) this.#mustBeKnown(name, false)
      const taken = wanted.filter((name) => this.#set.has(name))
      if (taken.length === 0) {
        const message = `${wanted.join(', ') || 'nothing'} was not set`
        return { message, changes: [], confirmed: [], unconfirmed: [], isSaved: true }
      }
      const left = pick(this.#texts(isSetting), (name) => !taken.includes(name))
      const resolved = overlaySettings(this.#options.base, left, taken)
      return this.#commit(new Map(taken.map((name) => [name, null])), resolved)
    })
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(change)
    this.#turn = done.catch(() => {})
    return done
  }

  #mustBeKnown(name: string, force: boolean): void {
    // One of the settings that cannot be changed is refused as such, with what to do instead.
    if (isSetting(name) || this.#declared.of(name).size > 0 || (force && name.includes('.'))) return
    throw unknownName(name, this.#declared.names())
  }

  /** Asks every worker that has declared them. Gives the values as the app writes them. */
  async #check(texts: SetTexts): Promise<SetTexts> {
    const checked: Record<string, string> = {}
    for (const [name, text] of Object.entries(texts)) {
      const replies = await this.#ask(name, (ask) => ({ type: 'check', ask, name, text }))
      const answers = [...replies].flatMap(([worker, reply]) => (typeof reply === 'string' ? [] : [{ worker, reply }]))
      const refusal = answers.find(({ reply }) => !reply.ok)
      if (refusal !== undefined && !refusal.reply.ok) {
        throw new PunctualError(
          'PUNCTUAL_SETTINGS_INVALID',
          `${name}: ${refusal.reply.why} (says worker ${refusal.worker})`,
          { details: { name, value: text, worker: refusal.worker, why: refusal.reply.why } },
        )
      }
      const [first] = answers
      if (first === undefined && replies.size > 0) {
        const who = [...replies.keys()].join(', ')
        throw new PunctualError(
          'PUNCTUAL_COMMAND_TIMED_OUT',
          `${name}: nobody could say whether "${text}" applies: of the workers that have it (${who}) none answered within ${formatElapsed(ANSWER_LIMIT)}; see \`punctual status\` for what they do, and try again`,
          { details: { name, value: text, workers: [...replies.keys()] } },
        )
      }
      checked[name] = first?.reply.ok ? first.reply.value : text
    }
    return checked
  }

  /** From here on nothing is refused. */
  async #commit(change: Change, resolved: ResolvedSettings): Promise<SetOutcome> {
    const changes = [...change].map(([name, value]) => {
      return { name, value, before: this.#now(name), after: this.#after(name, value) }
    })
    const at = wallClock().toISOString()
    for (const [name, value] of change) {
      this.#set.delete(name)
      if (value !== null) this.#set.set(name, { value, at })
    }
    this.#resolved = resolved
    const settings = [...change.keys()].filter(isSetting)
    if (settings.length > 0) this.#options.adopt(resolved.settings)
    const replies = [this.#tellSettings(settings, resolved.settings)]
    for (const [name, value] of change) if (!isSetting(name)) replies.push(this.#tellValue(name, value))
    const unsaved = await this.#save()
    const { confirmed, problems, lines } = tellReplies(await Promise.all(replies), ANSWER_LIMIT)
    const { log } = this.#options
    for (const one of changes) log.info({ event: 'setting-changed', ...one }, tellChange(one))
    for (const { message, ...facts } of problems) log.warn({ event: 'setting-unconfirmed', ...facts }, message)
    const notSaved = unsaved === null ? [] : [tellUnsaved(unsaved)]
    for (const message of notSaved) log.warn({ event: 'set-file-unwritable', code: unsaved?.code ?? null }, message)
    return {
      message: [...changes.map(tellChange), ...lines, ...problems.map(({ message }) => message), ...notSaved].join(
        '\n',
      ),
      changes,
      confirmed,
      unconfirmed: problems.map(({ worker }) => worker),
      isSaved: unsaved === null,
    }
  }

  #tellSettings(names: readonly SettingName[], settings: Settings): Promise<ReadonlyMap<number, Reply>> {
    if (names.length === 0) return Promise.resolve(new Map())
    const hot = names.map((name) => recordOf(name).runtime)
    const by = hot.includes('worker') ? 'worker' : 'watchdog'
    const change = encodeChange(settings, names)
    const workers = this.#options.workers()
    // Those that boot have their main thread busy with the app, and are told all the same.
    const asked = workers.filter(({ isBooting }) => !isBooting)
    for (const { id } of workers.filter(({ isBooting }) => isBooting)) {
      this.#options.order(id, { type: 'settings', ask: 0, change, by })
    }
    return this.#asks.ask(
      asked.map(({ id }) => id),
      ANSWER_LIMIT,
      (worker, ask) => this.#options.order(worker, { type: 'settings', ask, change, by }),
    )
  }

  async #tellValue(name: string, value: string | null): Promise<ReadonlyMap<number, Reply>> {
    const replies = await this.#ask(name, (ask) =>
      value === null ? { type: 'unset', ask, name } : { type: 'set', ask, name, text: value },
    )
    for (const [worker, reply] of replies) {
      const declared = this.#declared.of(name).get(worker)
      if (typeof reply === 'string' || !reply.ok || declared === undefined) continue
      this.#declared.declare(worker, name, { ...declared, value: reply.value })
    }
    return replies
  }

  #ask(name: string, message: (ask: number) => RuntimeToWorker): Promise<ReadonlyMap<number, Reply>> {
    return this.#asks.ask([...this.#declared.of(name).keys()], ANSWER_LIMIT, (worker, ask) =>
      this.#options.exchange.say(worker, RUNTIME_TOPIC, message(ask)),
    )
  }

  /** Why it could not be written down, if it could not: it holds all the same. */
  async #save(): Promise<NodeJS.ErrnoException | null> {
    try {
      await writeSetFile(this.#options.stateDir, this.#set)
      return null
    } catch (error) {
      return error as NodeJS.ErrnoException
    }
  }

  #heard(worker: number, message: RuntimeToArbiter): void {
    if (message.type === 'declare') this.#declare(worker, message)
    else if (message.type === 'withdraw') this.#declared.withdraw(worker, message.name)
    else this.#asks.answered(worker, message.ask, message)
  }

  #declare(worker: number, message: Extract<RuntimeToArbiter, { readonly type: 'declare' }>): void {
    const { name, value, standard, refused } = message
    this.#declared.declare(worker, name, { value, standard })
    const set = this.#set.get(name)?.value
    if (refused !== null) {
      const why = `${name} was set to ${set ?? 'something'}, which worker ${worker} does not take (${refused}); ${value} holds there. See \`punctual unset ${name}\``
      this.#options.log.warn(
        { event: 'runtime-value-refused', worker, name, value: set ?? null, inForce: value, reason: refused },
        why,
      )
    } else if (set !== undefined ? value !== set : value !== standard) {
      // It was changed after this worker had been started.
      void this.#tellValue(name, set ?? null)
    }
  }

  #texts(isWanted: (name: string) => boolean): Record<string, string> {
    return Object.fromEntries(
      [...this.#set].filter(([name]) => isWanted(name)).map(([name, { value }]) => [name, value]),
    )
  }

  #now(name: string): string | null {
    if (isSetting(name)) return format(this.#resolved, name)
    return this.#set.get(name)?.value ?? this.#standard(name)
  }

  #after(name: string, value: string | null): string | null {
    if (value !== null) return value
    return isSetting(name) ? format(this.#options.base, name) : this.#standard(name)
  }

  /** Null where no worker has declared it. */
  #standard(name: string): string | null {
    return this.#declared.of(name).values().next().value?.standard ?? null
  }

  #declaredInForce(name: string): DeclaredInForce {
    const all = [...this.#declared.of(name).values()]
    return {
      name,
      values: [...new Set(all.map(({ value }) => value))],
      standard: all[0]?.standard ?? '',
      isSet: this.#set.has(name),
      workers: all.length,
    }
  }
}

function format(resolved: ResolvedSettings, name: SettingName): string {
  return recordOf(name).kind.format(resolved.settings[name])
}

function pick(texts: SetTexts, isWanted: (name: string) => boolean): Record<string, string> {
  return Object.fromEntries(Object.entries(texts).filter(([name]) => isWanted(name)))
}
