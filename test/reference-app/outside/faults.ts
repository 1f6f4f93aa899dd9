import { SettingError } from '../app-error.ts'
import type { PartnerMood } from '../inbox/partner.ts'
import type { MailMood } from './mailbox.ts'

/** The faults outside the app. What is left out works normally. */
export interface Faults {
  /** Delays every query by a random time between the two, in milliseconds. */
  readonly queryDelay?: readonly [least: number, most: number]
  /** A table that does not respond. */
  readonly hangTable?: string
  /** How long, in milliseconds. Default 30,000. */
  readonly hangFor?: number
  /** How the partner's API behaves. Default `well`. */
  readonly partner?: PartnerMood
  /** How the mail server behaves. Default `well`. */
  readonly mail?: MailMood
}

/** The active faults, and counters since the start. */
export interface FaultStatus {
  readonly queryDelay: readonly [least: number, most: number] | null
  readonly hangTable: string | null
  /** Milliseconds until the table responds again. */
  readonly hangLeft: number
  readonly partner: PartnerMood
  readonly mail: MailMood
  /** Queries sent by the app; null if the connection is encrypted and they cannot be counted. */
  readonly queries: number | null
}

/** Body of `PUT /try/faults`. */
export const FAULTS_SCHEMA = {
  type: 'object',
  additionalProperties: false,
  properties: {
    queryDelay: {
      type: 'array',
      minItems: 2,
      maxItems: 2,
      items: { type: 'integer', minimum: 0, maximum: 5_000 },
    },
    hangTable: { type: 'string', pattern: '^[a-z_]{1,63}$' },
    hangFor: { type: 'integer', minimum: 1, maximum: 120_000 },
    partner: { type: 'string', enum: ['well', 'slow', 'hang', 'fail'] },
    mail: { type: 'string', enum: ['well', 'hang', 'fail'] },
  },
} as const

const { queryDelay, hangFor, partner, mail } = FAULTS_SCHEMA.properties
const LONGEST_DELAY = queryDelay.items.maximum
const LONGEST_HANG = hangFor.maximum
const PARTNER_MOODS: readonly PartnerMood[] = partner.enum
const MAIL_MOODS: readonly MailMood[] = mail.enum

/**
 * Reads the initial faults from the environment: `FAULT_QUERY_DELAY=100-250`,
 * `FAULT_HANG_TABLE=auth_users`, `FAULT_HANG_FOR=30000`, `FAULT_PARTNER=slow`, `FAULT_MAIL=hang`.
 *
 * @throws SettingError for an invalid value
 */
export function readFaults(env: NodeJS.ProcessEnv): Faults {
  const {
    FAULT_QUERY_DELAY: delay,
    FAULT_HANG_TABLE: table,
    FAULT_HANG_FOR: length,
    FAULT_PARTNER: partner,
    FAULT_MAIL: mail,
  } = env
  return {
    ...(delay === undefined ? {} : { queryDelay: readDelay(delay) }),
    ...(table === undefined ? {} : { hangTable: readTable(table) }),
    ...(length === undefined ? {} : { hangFor: readLength(length) }),
    ...(partner === undefined ? {} : { partner: readMood('FAULT_PARTNER', partner, PARTNER_MOODS) }),
    ...(mail === undefined ? {} : { mail: readMood('FAULT_MAIL', mail, MAIL_MOODS) }),
  }
}

function readDelay(text: string): readonly [number, number] {
  const [, least, most] = /^(\d{1,4})-(\d{1,4})$/.exec(text)?.map(Number) ?? []
  if (least !== undefined && most !== undefined && least <= most && most <= LONGEST_DELAY) return [least, most]
  throw new SettingError(
    'FAULT_QUERY_DELAY',
    'not-a-range',
    `FAULT_QUERY_DELAY is "${text}"; it must be two numbers of milliseconds, at most ${LONGEST_DELAY}, such as 100-250.`,
  )
}

function readTable(text: string): string {
  if (new RegExp(FAULTS_SCHEMA.properties.hangTable.pattern).test(text)) return text
  throw new SettingError(
    'FAULT_HANG_TABLE',
    'not-a-table',
    `FAULT_HANG_TABLE is "${text}"; it must be the name of a table, such as auth_users.`,
  )
}

function readLength(text: string): number {
  const length = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (length > 0 && length <= LONGEST_HANG) return length
  throw new SettingError(
    'FAULT_HANG_FOR',
    'not-a-length',
    `FAULT_HANG_FOR is "${text}"; it must be a number of milliseconds from 1 to ${LONGEST_HANG}.`,
  )
}

function readMood<Mood extends string>(name: string, text: string, moods: readonly Mood[]): Mood {
  const mood = moods.find((known) => known === text)
  if (mood !== undefined) return mood
  throw new SettingError(name, 'unknown-mood', `${name} is "${text}"; it must be one of ${moods.join(', ')}.`)
}
