import type { PartnerMessage } from './partner.ts'

/**
 * The contract of `GET /discussions/:id?source=`, implemented by the inbox as it failed
 * (`before.ts`) and on Punctual (`after.ts`).
 */
export interface Inbox {
  /**
   * @param source what the caller assumes the id to be
   * @returns the discussion; rejects with a `PartnerError` if the partner responds with an error
   */
  discussion(id: string, source: Source): Promise<Discussion>
}

/** The partner's two kinds of discussion. */
export type Source = 'messaging' | 'issue'

export interface Discussion {
  readonly id: string
  readonly messages: readonly PartnerMessage[]
  /** Where it was found, which may differ from the source that was given. */
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
