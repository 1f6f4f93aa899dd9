import type { SettingName } from './records.ts'
import type { Settings } from './settings.ts'

type DurationName = {
  [Name in SettingName]: Settings[Name] extends number ? Name : never
}[SettingName]

/** A rule between settings: how limits nest. */
export interface Rule {
  /** `stallReportAfter < stallInterruptAfter`. */
  readonly says: string
  /** The settings it is about, in the order in which they are named. */
  readonly settings: readonly SettingName[]
  /** Why it must hold, for the reference. */
  readonly why: string
  /** Whether it has a say: a limit that is switched off breaks no rule. */
  applies(settings: Settings): boolean
  holds(settings: Settings): boolean
  /** For rules that order two durations: which must be below the other. */
  readonly order: { readonly lower: DurationName; readonly upper: DurationName; readonly strict: boolean } | null
}

type Applies = (settings: Settings) => boolean

const always: Applies = () => true

function below(lower: DurationName, upper: DurationName, why: string, applies: Applies = always): Rule {
  return {
    says: `${lower} < ${upper}`,
    settings: [lower, upper],
    why,
    applies,
    // Nothing is longer than "without limit", so it is a fine upper limit even for another one.
    holds: (settings) => settings[upper] === Number.POSITIVE_INFINITY || settings[lower] < settings[upper],
    order: { lower, upper, strict: true },
  }
}

function upTo(lower: DurationName, upper: DurationName, why: string): Rule {
  return {
    says: `${lower} <= ${upper}`,
    settings: [lower, upper],
    why,
    applies: always,
    holds: (settings) => settings[lower] <= settings[upper],
    order: { lower, upper, strict: false },
  }
}

const cuts: Applies = (settings) => settings.stallAction !== 'report'
const stopsAtCut: Applies = (settings) => settings.stallAction === 'interrupt'
const kills: Applies = (settings) => settings.stallAction === 'kill'

const admits: Applies = (settings) => settings.loadShedding !== 'off'

const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost'])
const EVERYWHERE = new Set(['0.0.0.0', '::'])

function sameAddress(one: string, other: string): boolean {
  if (one.toLowerCase() === other.toLowerCase()) return true
  return EVERYWHERE.has(one) || EVERYWHERE.has(other) || (LOOPBACK.has(one) && LOOPBACK.has(other))
}

/** Every rule, checked at the start and shown by `punctual config`. */
export const RULES: readonly Rule[] = [
  below('stallReportAfter', 'stallInterruptAfter', 'A stall is explained before its code is cut.', cuts),
  below('stallInterruptAfter', 'stallKillAfter', 'The cut gets its chance before the worker is killed.', kills),
  below('stallInterruptAfter', 'requestTimeout', 'A stalled request is answered before its deadline.', stopsAtCut),
  below('stallKillAfter', 'requestTimeout', 'Clients of a stalled worker are answered before their deadline.', kills),
  below(
    'stallKillAfter',
    'frozenKillAfter',
    'The watchdog inside the worker acts first: it knows more and answers clients.',
    kills,
  ),
  upTo('requestTimeout', 'drainTimeout', 'A request in flight may take its whole time while its worker leaves.'),
  below('drainTimeout', 'stopTimeout', 'Requests get their 503 before the worker is killed.'),
  upTo('upgradeGrace', 'drainTimeout', 'Upgraded connections are closed within the drain.'),
  below('queueTarget', 'queueInterval', 'A queue is judged over many times what each may wait.', admits),
  below('releaseTimeout', 'releaseLockTimeout', 'Whoever waits for a release outlasts it.'),
  upTo('restartDelayMin', 'restartDelayMax', 'The delay grows from its least to its most.'),
  {
    says: 'port != adminPort',
    settings: ['port', 'adminPort'],
    why: 'The app and the admin server cannot share an address; 0 is always free.',
    applies: (settings) =>
      settings.port !== 0 && settings.adminPort !== 0 && sameAddress(settings.host, settings.adminHost),
    holds: (settings) => settings.port !== settings.adminPort,
    order: null,
  },
]

/** The rules that apply and do not hold. */
export function brokenRules(settings: Settings): readonly Rule[] {
  return RULES.filter((rule) => rule.applies(settings) && !rule.holds(settings))
}
