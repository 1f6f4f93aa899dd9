import type { Log } from '../diagnostics/log.ts'
import { PunctualError } from '../errors/punctual-error.ts'
import {
  type FromMain,
  type FromWatchdog,
  RUNTIME_TOPIC,
  type RuntimeToArbiter,
  type RuntimeToWorker,
} from '../ipc/messages.ts'
import { encodeChange, type WorkerConfig } from '../ipc/worker-config.ts'
import { isSecretName, REDACTED } from '../redaction/redaction.ts'
import { wallClock } from '../resilience/clock.ts'
import { formatElapsed, type Milliseconds, ms } from '../resilience/duration.ts'
import { SerialQueue } from '../resilience/serial-queue.ts'
import { overlaySettings, type SetTexts } from '../settings/overlay.ts'
import { recordOf, type SettingName } from '../settings/records.ts'
import { isSetting } from '../settings/resolve.ts'
import type { ResolvedSettings, Settings } from '../settings/settings.ts'
import { settingsReport } from '../settings/settings-report.ts'
import type { DeclaredInForce, SetOutcome, SettingsControl, SettingsInForce } from './arbiter-control.ts'
import { formatSettingChange, formatUnsaved, summarizeReplies, unknownName } from './format-setting-change.ts'
import type { MessageRelay } from './message-relay.ts'
import { PendingRequests, type Reply } from './pending-requests.ts'
import { type SetValue, type SetValues, writeSetFile } from './set-file.ts'

/** How long workers have to accept or refuse a value, and again to confirm that it is in effect. */
const REPLY_TIMEOUT: Milliseconds = ms(2_000)

export interface RuntimeSettingsOptions {
  /** The settings without any that were set at run time. */
  readonly base: ResolvedSettings
  /** What was set before this start and still applies. */
  readonly set: SetValues
  readonly configFile: string | null
  readonly stateDir: string
  readonly relay: MessageRelay
  readonly log: Pick<Log, 'info' | 'warn'>
  /** Called when the settings of Punctual have changed. */
  readonly onChange: (settings: Settings) => void
}

type Change = ReadonlyMap<string, string | null>

/**
 * Implements `punctual set` and `unset`. A change is checked as a whole before anything is changed:
 * settings against their records and rules, values of the app by every worker that declares them.
 * Then it is saved, for later workers, generations and arbiters, and sent to all running workers.
 */
export class RuntimeSettings implements SettingsControl {
  readonly #options: RuntimeSettingsOptions
  readonly #declared = new DeclaredValues()
  readonly #requests = new PendingRequests()
  /** Each change is checked against the result of the one before. */
  readonly #changes = new SerialQueue()
  /** Workers that have become ready. */
  readonly #ready = new Set<number>()
  readonly #set: Map<string, SetValue>
  #resolved: ResolvedSettings

  constructor(options: RuntimeSettingsOptions) {
    this.#options = options
    this.#set = new Map(options.set)
    this.#resolved = overlaySettings(options.base, pickTexts(this.#set, isSetting))
    options.relay.onTopic(RUNTIME_TOPIC, (worker, message) => this.#handleTopic(worker, message as RuntimeToArbiter))
    options.relay.onWorkerRemoved((worker) => {
      this.#ready.delete(worker)
      this.#declared.removeWorker(worker)
      this.#requests.removeWorker(worker)
    })
  }

  get settings(): Settings {
    return this.#resolved.settings
  }

  /** What a worker that is started now is configured with. */
  forWorker(): Pick<WorkerConfig, 'settings' | 'set'> {
    return { settings: this.settings, set: pickTexts(this.#set, (name) => !isSetting(name)) }
  }

  /** By name, for `/status`. */
  setTexts(): Readonly<Record<string, string>> {
    return Object.fromEntries([...this.#set].map(([name, { value }]) => [name, this.#shown(name, value)]))
  }

  /** Whether the value of a name must not be shown. */
  #isSecret(name: string): boolean {
    return this.#declared.isSecret(name) ?? this.#set.get(name)?.secret ?? (!isSetting(name) && isSecretName(name))
  }

  /** What is shown of a value. */
  #shown<Text extends string | null>(name: string, value: Text): Text | string {
    return value === null || value === '' || !this.#isSecret(name) ? value : REDACTED
  }

  /** The reason of the app for a refusal, which may quote the value. */
  #shownReason(name: string, why: string, text: string): string {
    return this.#isSecret(name) && text !== '' ? why.replaceAll(text, REDACTED) : why
  }

  /** Handles a confirmation of changed settings; returns false for any other message. */
  handle(worker: number, message: FromMain | FromWatchdog): boolean {
    if (message.type === 'ready') this.#ready.add(worker)
    if (message.type !== 'settings-changed') return false
    this.#requests.resolve(worker, message.ask, { ok: true, value: '' })
    return true
  }

  inForce(): SettingsInForce {
    return {
      ...settingsReport(this.#resolved, this.#options.configFile),
      pid: process.pid,
      set: Object.fromEntries(
        [...this.#set].map(([name, { value, at }]) => [name, { value: this.#shown(name, value), at }]),
      ),
      declared: this.#declared.names().map((name) => this.#declaredInForce(name)),
    }
  }

  set(texts: SetTexts, force: boolean): Promise<SetOutcome> {
    return this.#changes.run(async () => {
      const names = Object.keys(texts)
      for (const name of names) this.#requireKnown(name, force)
      const settings = { ...pickTexts(this.#set, isSetting), ...pick(texts, isSetting) }
      const resolved = overlaySettings(this.#options.base, settings, names)
      const ofApp = await this.#check(pick(texts, (name) => !isSetting(name)))
      const ofPunctual = names.filter(isSetting).map((name) => [name, format(resolved, name)] as const)
      return this.#commit(new Map([...ofPunctual, ...Object.entries(ofApp)]), resolved)
    })
  }

  unset(names: readonly string[]): Promise<SetOutcome> {
    return this.#changes.run(async () => {
      const wanted = names.length === 0 ? [...this.#set.keys()] : names
      for (const name of wanted) if (!this.#set.has(name)) this.#requireKnown(name, false)
      const reverted = wanted.filter((name) => this.#set.has(name))
      if (reverted.length === 0) {
        const message = names.length === 0 ? 'no settings are set' : `${names.join(', ')} not set`
        return { message, changes: [], confirmed: [], unconfirmed: [], isSaved: true }
      }
      const remaining = pick(pickTexts(this.#set, isSetting), (name) => !reverted.includes(name))
      const resolved = overlaySettings(this.#options.base, remaining, reverted)
      return this.#commit(new Map(reverted.map((name) => [name, null])), resolved)
    })
  }

  #requireKnown(name: string, force: boolean): void {
    // `overlaySettings` refuses settings that cannot be changed at run time.
    if (isSetting(name) || this.#declared.of(name).size > 0 || (force && name.includes('.'))) return
    throw unknownName(name, this.#declared.names())
  }

  /** Checks values with every worker that declares them; returns them as the app writes them. */
  async #check(texts: SetTexts): Promise<SetTexts> {
    const checked: Record<string, string> = {}
    for (const [name, text] of Object.entries(texts)) {
      const replies = await this.#request(name, (ask) => ({ type: 'check', ask, name, text }))
      const answers = [...replies].flatMap(([worker, reply]) => (typeof reply === 'string' ? [] : [{ worker, reply }]))
      const refusal = answers.find(({ reply }) => !reply.ok)
      if (refusal !== undefined && !refusal.reply.ok) {
        const { worker } = refusal
        const [value, why] = [this.#shown(name, text), this.#shownReason(name, refusal.reply.why, text)]
        throw new PunctualError('PUNCTUAL_SETTINGS_INVALID', `${name}: ${why} (refused by worker ${worker})`, {
          details: { name, value, worker, why },
        })
      }
      const [first] = answers
      if (first === undefined && replies.size > 0) {
        const workers = [...replies.keys()]
        const value = this.#shown(name, text)
        throw new PunctualError(
          'PUNCTUAL_COMMAND_TIMED_OUT',
          `${name}: no worker that declares it (${workers.join(', ')}) checked "${value}" within ${formatElapsed(REPLY_TIMEOUT)}; see \`punctual status\` and try again`,
          { details: { name, value, workers } },
        )
      }
      checked[name] = first?.reply.ok ? first.reply.value : text
    }
    return checked
  }

  /** Applies a change that has been checked. Nothing is refused from here on. */
  async #commit(change: Change, resolved: ResolvedSettings): Promise<SetOutcome> {
    const changes = [...change].map(([name, value]) => {
      const [before, after] = [this.#valueNow(name), this.#valueAfter(name, value)]
      return {
        name,
        value: this.#shown(name, value),
        before: this.#shown(name, before),
        after: this.#shown(name, after),
      }
    })
    const at = wallClock().toISOString()
    for (const [name, value] of change) {
      this.#set.delete(name)
      const secret = this.#isSecret(name)
      if (value !== null) this.#set.set(name, secret ? { value, at, secret } : { value, at })
    }
    this.#resolved = resolved
    const settings = [...change.keys()].filter(isSetting)
    if (settings.length > 0) this.#options.onChange(resolved.settings)
    const replies = [this.#sendSettings(settings, resolved.settings)]
    for (const [name, value] of change) if (!isSetting(name)) replies.push(this.#sendValue(name, value))
    const saveError = await this.#save()
    const { confirmed, problems, lines } = summarizeReplies(await Promise.all(replies), REPLY_TIMEOUT)
    const { log } = this.#options
    for (const one of changes) log.info({ event: 'setting-changed', ...one }, formatSettingChange(one))
    for (const { message, ...facts } of problems) log.warn({ event: 'setting-unconfirmed', ...facts }, message)
    const unsaved = saveError === null ? [] : [formatUnsaved(saveError)]
    for (const message of unsaved) log.warn({ event: 'set-file-unwritable', code: saveError?.code ?? null }, message)
    return {
      message: [
        ...changes.map(formatSettingChange),
        ...lines,
        ...problems.map(({ message }) => message),
        ...unsaved,
      ].join('\n'),
      changes,
      confirmed,
      unconfirmed: problems.map(({ worker }) => worker),
      isSaved: saveError === null,
    }
  }

  #sendSettings(names: readonly SettingName[], settings: Settings): Promise<ReadonlyMap<number, Reply>> {
    if (names.length === 0) return Promise.resolve(new Map())
    const { relay } = this.#options
    const by = names.some((name) => recordOf(name).runtime === 'worker') ? 'worker' : 'watchdog'
    const change = encodeChange(settings, names)
    // A worker that boots has its main thread busy with the app: it gets the change without being
    // waited for.
    for (const worker of relay.workers) {
      if (!this.#ready.has(worker)) relay.send(worker, { type: 'settings', ask: 0, change, by })
    }
    const ready = relay.workers.filter((worker) => this.#ready.has(worker))
    return this.#requests.send(ready, REPLY_TIMEOUT, (worker, ask) =>
      relay.send(worker, { type: 'settings', ask, change, by }),
    )
  }

  async #sendValue(name: string, value: string | null): Promise<ReadonlyMap<number, Reply>> {
    const replies = await this.#request(name, (ask) =>
      value === null ? { type: 'unset', ask, name } : { type: 'set', ask, name, text: value },
    )
    const shown = new Map<number, Reply>()
    for (const [worker, reply] of replies) {
      const isRefusal = typeof reply !== 'string' && !reply.ok
      shown.set(worker, isRefusal ? { ...reply, why: this.#shownReason(name, reply.why, value ?? '') } : reply)
      const declared = this.#declared.of(name).get(worker)
      if (typeof reply === 'string' || !reply.ok || declared === undefined) continue
      this.#declared.declare(worker, name, { ...declared, value: reply.value })
    }
    return shown
  }

  #request(name: string, message: (ask: number) => RuntimeToWorker): Promise<ReadonlyMap<number, Reply>> {
    return this.#requests.send([...this.#declared.of(name).keys()], REPLY_TIMEOUT, (worker, ask) =>
      this.#options.relay.sendToTopic(worker, RUNTIME_TOPIC, message(ask)),
    )
  }

  /** Returns the error if the values could not be saved; they stay in effect. */
  async #save(): Promise<NodeJS.ErrnoException | null> {
    try {
      await writeSetFile(this.#options.stateDir, this.#set)
      return null
    } catch (error) {
      return error as NodeJS.ErrnoException
    }
  }

  #handleTopic(worker: number, message: RuntimeToArbiter): void {
    if (message.type === 'declare') this.#declare(worker, message)
    else if (message.type === 'withdraw') this.#declared.withdraw(worker, message.name)
    else this.#requests.resolve(worker, message.ask, message)
  }

  #declare(worker: number, message: Extract<RuntimeToArbiter, { readonly type: 'declare' }>): void {
    const { name, value, standard, secret, refused } = message
    this.#declared.declare(worker, name, { value, standard, secret: secret ?? isSecretName(name) })
    const set = this.#set.get(name)?.value
    if (refused !== null) {
      const [shown, inForce] = [this.#shown(name, set ?? null), this.#shown(name, value)]
      const reason = this.#shownReason(name, refused, set ?? '')
      this.#options.log.warn(
        { event: 'runtime-value-refused', worker, name, value: shown, inForce, reason },
        `worker ${worker} refused ${name} = ${shown ?? '?'} (${reason}) and keeps ${inForce}; see \`punctual unset ${name}\``,
      )
    } else if (set !== undefined ? value !== set : value !== standard) {
      // It was changed after this worker had been started.
      void this.#sendValue(name, set ?? null)
    }
  }

  #valueNow(name: string): string | null {
    if (isSetting(name)) return format(this.#resolved, name)
    return this.#set.get(name)?.value ?? this.#declared.standardOf(name)
  }

  #valueAfter(name: string, value: string | null): string | null {
    if (value !== null) return value
    return isSetting(name) ? format(this.#options.base, name) : this.#declared.standardOf(name)
  }

  #declaredInForce(name: string): DeclaredInForce {
    const all = [...this.#declared.of(name).values()]
    return {
      name,
      values: [...new Set(all.map(({ value }) => this.#shown(name, value)))],
      standard: this.#shown(name, this.#declared.standardOf(name)) ?? '',
      isSet: this.#set.has(name),
      workers: all.length,
    }
  }
}

/** A value that an app declares by name, as one worker has it. */
interface DeclaredValue {
  readonly value: string
  /** The app's own default. */
  readonly standard: string
  readonly secret: boolean
}

/** Which workers declare which values of their app. */
class DeclaredValues {
  readonly #byName = new Map<string, Map<number, DeclaredValue>>()

  declare(worker: number, name: string, declared: DeclaredValue): void {
    const workers = this.#byName.get(name) ?? new Map()
    this.#byName.set(name, workers.set(worker, declared))
  }

  withdraw(worker: number, name: string): void {
    const workers = this.#byName.get(name)
    workers?.delete(worker)
    if (workers?.size === 0) this.#byName.delete(name)
  }

  removeWorker(worker: number): void {
    for (const name of [...this.#byName.keys()]) this.withdraw(worker, name)
  }

  /** In alphabetical order. */
  names(): string[] {
    return [...this.#byName.keys()].sort()
  }

  /** By worker; empty for a name that no worker declares. */
  of(name: string): ReadonlyMap<number, DeclaredValue> {
    return this.#byName.get(name) ?? new Map()
  }

  /** Undefined for a name that no worker declares; one declaration as a secret is enough. */
  isSecret(name: string): boolean | undefined {
    const all = [...this.of(name).values()]
    return all.length === 0 ? undefined : all.some(({ secret }) => secret)
  }

  /** Null for a name that no worker declares. */
  standardOf(name: string): string | null {
    return this.of(name).values().next().value?.standard ?? null
  }
}

function format(resolved: ResolvedSettings, name: SettingName): string {
  return recordOf(name).kind.format(resolved.settings[name])
}

function pick(texts: SetTexts, isWanted: (name: string) => boolean): Record<string, string> {
  return Object.fromEntries(Object.entries(texts).filter(([name]) => isWanted(name)))
}

function pickTexts(values: SetValues, isWanted: (name: string) => boolean): Record<string, string> {
  return Object.fromEntries([...values].filter(([name]) => isWanted(name)).map(([name, { value }]) => [name, value]))
}
