import { ms } from '../resilience/duration.ts'
import { recordOf, SETTING_NAMES, type SettingName } from './records.ts'
import type { ResolvedSettings, Settings } from './settings.ts'
import type { SettingFault } from './settings-error.ts'

type NumberName = {
  [Name in SettingName]: Settings[Name] extends number ? Name : never
}[SettingName]

/** A rule between settings, such as how timeouts nest. */
export interface Rule {
  /** `stallReportAfter < stallInterruptAfter`. */
  readonly text: string
  readonly settings: readonly [SettingName, SettingName]
  /** Why it must hold, for the reference. */
  readonly why: string
  /** False where one of the settings has no effect. */
  applies(settings: Settings): boolean
  holds(settings: Settings): boolean
  /** For a rule that orders two values. */
  readonly order: { readonly lower: NumberName; readonly upper: NumberName; readonly strict: boolean } | null
}

type Applies = (settings: Settings) => boolean

const always: Applies = () => true

function below(lower: NumberName, upper: NumberName, why: string, applies: Applies = always): Rule {
  return {
    text: `${lower} < ${upper}`,
    settings: [lower, upper],
    why,
    applies,
    // An unbounded upper value is above every other one, also above another unbounded one.
    holds: (settings) => settings[upper] === Number.POSITIVE_INFINITY || settings[lower] < settings[upper],
    order: { lower, upper, strict: true },
  }
}

function upTo(lower: NumberName, upper: NumberName, why: string): Rule {
  return {
    text: `${lower} <= ${upper}`,
    settings: [lower, upper],
    why,
    applies: always,
    holds: (settings) => settings[lower] <= settings[upper],
    order: { lower, upper, strict: false },
  }
}

const interrupts: Applies = ({ stallAction }) => stallAction !== 'report'
const interruptsOnly: Applies = ({ stallAction }) => stallAction === 'interrupt'
const kills: Applies = ({ stallAction }) => stallAction === 'kill'
const sheds: Applies = ({ loadShedding }) => loadShedding !== 'off'

const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost'])
const ALL_INTERFACES = new Set(['0.0.0.0', '::'])

function isSameAddress(one: string, other: string): boolean {
  if (one.toLowerCase() === other.toLowerCase()) return true
  return ALL_INTERFACES.has(one) || ALL_INTERFACES.has(other) || (LOOPBACK.has(one) && LOOPBACK.has(other))
}

/** Every rule. Checked at the start and by `punctual set`, shown by `punctual config`. */
export const RULES: readonly Rule[] = [
  below('stallReportAfter', 'stallInterruptAfter', 'A stall is reported before its code is interrupted.', interrupts),
  below('stallInterruptAfter', 'stallKillAfter', 'The code is interrupted before the worker is killed.', kills),
  below('stallInterruptAfter', 'requestTimeout', 'A stalled request is answered before it times out.', interruptsOnly),
  below('stallKillAfter', 'requestTimeout', 'Clients of a stalled worker are answered before they time out.', kills),
  below('stallKillAfter', 'frozenKillAfter', 'The watchdog acts before the arbiter: it can answer clients.', kills),
  upTo('requestTimeout', 'drainTimeout', 'A request in flight may take its full time while its worker drains.'),
  below('drainTimeout', 'stopTimeout', 'Unanswered requests get their 503 before the worker is killed.'),
  upTo('upgradeGrace', 'drainTimeout', 'Upgraded connections are closed while the worker drains.'),
  below('queueTarget', 'queueInterval', 'The queue is judged over several times the target.', sheds),
  below('releaseTimeout', 'releaseLockTimeout', 'A machine that waits for a release waits until it ends.'),
  upTo('restartDelayMin', 'restartDelayMax', 'The delay grows from its minimum to its maximum.'),
  {
    text: 'port != adminPort',
    settings: ['port', 'adminPort'],
    why: 'The app and the admin server cannot share an address; 0 is always free.',
    applies: ({ port, adminPort, host, adminHost }) => port !== 0 && adminPort !== 0 && isSameAddress(host, adminHost),
    holds: (settings) => settings.port !== settings.adminPort,
    order: null,
  },
  {
    text: 'probePort != port',
    settings: ['probePort', 'port'],
    why: 'The app and the server for probes cannot share an address.',
    applies: ({ port, host, probePort, probeHost }) =>
      typeof probePort === 'number' && probePort !== 0 && port !== 0 && isSameAddress(host, probeHost),
    holds: (settings) => settings.probePort !== settings.port,
    order: null,
  },
  {
    text: 'probePort != adminPort',
    settings: ['probePort', 'adminPort'],
    why: 'The admin server and the server for probes cannot share an address.',
    applies: ({ adminPort, adminHost, probePort, probeHost }) =>
      typeof probePort === 'number' && probePort !== 0 && adminPort !== 0 && isSameAddress(adminHost, probeHost),
    holds: (settings) => settings.probePort !== settings.adminPort,
    order: null,
  },
]

/** The rules that apply and do not hold. */
export function brokenRules(settings: Settings): readonly Rule[] {
  return RULES.filter((rule) => rule.applies(settings) && !rule.holds(settings))
}

/**
 * The fault of a broken rule, as the fault of a setting that was given: of the second one if the
 * first has its default, else of the first.
 */
export function faultOfRule({ text, settings: names, order }: Rule, resolved: ResolvedSettings): SettingFault {
  const { settings, origins } = resolved
  const [first, second] = names
  const isSecond = origins[first].origin === 'default'
  const [subject, object] = isSecond ? [second, first] : [first, second]
  const must =
    order === null
      ? 'must differ from'
      : isSecond
        ? `must be ${order.strict ? 'greater than' : 'at least'}`
        : `must be ${order.strict ? 'less than' : 'at most'}`
  const format = (name: SettingName): string => recordOf(name).kind.format(settings[name])
  return {
    setting: subject,
    source: origins[subject].source,
    kind: 'rule-broken',
    rule: text,
    what: `${subject} ${must} ${object} (${format(object)}, ${origins[object].source}), got ${format(subject)}`,
    advice: `change ${subject} or ${object}`,
  }
}

/**
 * Values with which all rules hold, found by moving only settings that are not in `chosen`:
 * starting from those, each broken rule moves its other side. Empty if no such values are found.
 */
export function suggestValues(settings: Settings, chosen: ReadonlySet<SettingName>): Partial<Settings> {
  const fixed = new Set<SettingName>(chosen)
  const moved = new Map<SettingName, number>()
  let trial = settings
  // Every round fixes one more setting, so the number of settings limits the rounds.
  for (let round = 0; round < SETTING_NAMES.length; round++) {
    const broken = brokenRules(trial)
    if (broken.length === 0) return Object.fromEntries(moved)
    const movable = broken.find(({ order }) => order !== null && fixed.has(order.lower) !== fixed.has(order.upper))
    if (movable?.order == null) return {}
    const { lower, upper, strict } = movable.order
    const target = fixed.has(lower) ? upper : lower
    const value = target === upper ? raise(trial[lower], strict) : reduce(trial[upper], strict)
    if (value < 1) return {}
    fixed.add(target)
    moved.set(target, value)
    trial = { ...trial, [target]: ms(value) }
  }
  return {}
}

/** A third less, rounded to one digit: 10 s becomes 6 s, 6 s becomes 4 s. */
function reduce(value: number, strict: boolean): number {
  if (!strict || value === Number.POSITIVE_INFINITY) return value
  const target = (value * 2) / 3
  const step = 10 ** Math.floor(Math.log10(Math.max(1, target)))
  return Math.floor(target / step) * step
}

/** A fifth more, rounded to two digits: 30 s becomes 36 s, 90 s becomes 110 s. */
function raise(value: number, strict: boolean): number {
  if (!strict || value === Number.POSITIVE_INFINITY) return value
  const target = value * 1.2
  const step = 10 ** Math.max(0, Math.floor(Math.log10(target)) - 1)
  return Math.ceil(target / step) * step
}
