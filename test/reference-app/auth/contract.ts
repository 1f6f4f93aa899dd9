/**
 * The contract of `POST /api/auth`, implemented by the service as it failed (`before.ts`) and on
 * Punctual (`after.ts`). Routes, tests and the benchmark depend only on this.
 */
export interface AuthService {
  /** Signs in a known user, or signs up a new one. */
  auth(identity: Identity): Promise<AuthResult>
}

/**
 * Body of `POST /api/auth`. It stands for the signed token of an identity provider, so all of it
 * counts as verified, including that the user name belongs to the caller.
 */
export interface Identity {
  readonly privyId: string
  readonly username: string
  readonly email: string
  /** Code of the referring user; only used at sign-up. */
  readonly referralCode?: string
}

export type AuthResult = SignedIn | 'username taken'

export interface SignedIn {
  readonly user: {
    readonly id: number
    readonly username: string
    readonly referralCode: string
    /** Whether the user just signed up. */
    readonly isNew: boolean
  }
  /** Keys that are not revoked, oldest first. */
  readonly apiKeys: readonly ApiKey[]
  /** The first key of a new user. Shown only once, because only its hash is stored. */
  readonly newApiKey: string | null
  readonly referral: ReferralOutcome
  /**
   * Whether something in the response is missing or outdated, because it could not be loaded in
   * time.
   */
  readonly degraded: boolean
}

export interface ApiKey {
  readonly id: number
  readonly prefix: string
  /** ISO 8601. */
  readonly createdAt: string
}

/**
 * The state of the referral code; `accepted` is processed after the response. Null without a code,
 * or without a sign-up.
 */
export type ReferralOutcome = 'recorded' | 'accepted' | 'unknown code' | 'unavailable' | null

/** Body of `POST /api/auth`. */
export const IDENTITY_SCHEMA = {
  type: 'object',
  required: ['privyId', 'username', 'email'],
  additionalProperties: false,
  properties: {
    privyId: { type: 'string', pattern: '^did:privy:[a-z0-9]{1,64}$' },
    username: { type: 'string', pattern: '^[a-z][a-z0-9_]{1,31}$' },
    email: {
      type: 'string',
      maxLength: 254,
      pattern: '^[^\\s@\\u0000-\\u001f\\u007f]+@[^\\s@\\u0000-\\u001f\\u007f]+$',
    },
    referralCode: { type: 'string', pattern: '^[A-Z0-9]{4,16}$' },
  },
} as const

/** Response of `POST /api/auth`: exactly these fields, so that no other column leaks. */
export const SIGNED_IN_SCHEMA = {
  type: 'object',
  required: ['user', 'apiKeys', 'newApiKey', 'referral', 'degraded'],
  properties: {
    user: {
      type: 'object',
      required: ['id', 'username', 'referralCode', 'isNew'],
      properties: {
        id: { type: 'integer' },
        username: { type: 'string' },
        referralCode: { type: 'string' },
        isNew: { type: 'boolean' },
      },
    },
    apiKeys: {
      type: 'array',
      items: {
        type: 'object',
        required: ['id', 'prefix', 'createdAt'],
        properties: { id: { type: 'integer' }, prefix: { type: 'string' }, createdAt: { type: 'string' } },
      },
    },
    newApiKey: { type: ['string', 'null'] },
    referral: { type: ['string', 'null'] },
    degraded: { type: 'boolean' },
  },
} as const
