import type { PartnerMessage } from './partner.ts'

/**
 * What `GET /discussions/:id?source=` promises, whoever keeps the promise: the inbox as it failed (`before.ts`) and the same on
 * Punctual (`after.ts`).
 */
export interface Inbox {
  /**
   * @param source what the caller supposes the id to be
   * @returns the discussion; rejects with a `PartnerError` when the partner says no
   */
  discussion(id: string, source: Source): Promise<Discussion>
}

/** Which of the partner's two kinds of discussion. */
export type Source = 'messaging' | 'issue'

export interface Discussion {
  readonly id: string
  readonly messages: readonly PartnerMessage[]
  /** Where it was found, which need not be where it was looked for. */
  readonly source: Source
}

export const DISCUSSION_PARAMS_SCHEMA = {
  type: 'object',
  required: ['id'],
  properties: { id: { type: 'string', pattern: '^[1-9]\\d{0,8}$' } },
} as const

export const DISCUSSION_QUERY_SCHEMA = {
  type: 'object',
  additionalProperties: false,
  properties: { source: { type: 'string', enum: ['messaging', 'issue'], default: 'messaging' } },
} as const

export const DISCUSSION_ANSWER_SCHEMA = {
  type: 'object',
  required: ['id', 'messages', 'source'],
  properties: {
    id: { type: 'string' },
    source: { type: 'string' },
    messages: {
      type: 'array',
      items: {
        type: 'object',
        required: ['from', 'text'],
        properties: { from: { type: 'string' }, text: { type: 'string' } },
      },
    },
  },
} as const
