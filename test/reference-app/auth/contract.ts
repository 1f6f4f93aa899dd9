/**
 * What `POST /api/auth` promises, whoever keeps the promise: the service as it failed (`before.ts`) and the same on Punctual
 * (`after.ts`). Routes, tests and the bench know only this.
 */
export interface AuthService {
  /** Signs in, or signs up whoever is not known yet. */
  auth(identity: Identity): Promise<AuthResult>
}

/**
 * Body of `POST /api/auth`. It stands for the identity provider's signed token, so all of it counts as verified: also that
 * the user name belongs to whoever sends it.
 */
export interface Identity {
  readonly privyId: string
  readonly username: string
  readonly email: string
  /** Who brought him here; of meaning at sign-up only. */
  readonly referralCode?: string
}

export type AuthResult = SignedIn | 'username taken'

export interface SignedIn {
  readonly user: {
    readonly id: number
    readonly username: string
    readonly referralCode: string
    /** He has signed up just now. */
    readonly isNew: boolean
  }
  /** Those not revoked, the oldest first. */
  readonly apiKeys: readonly ApiKey[]
  /** The first key of a new user, in full: told this once, for only its hash is kept. */
  readonly newApiKey: string | null
  readonly referral: ReferralOutcome
  /** Something is missing from this answer, or older than it should be, because it could not be had in time. */
  readonly degraded: boolean
}

export interface ApiKey {
  readonly id: number
  readonly prefix: string
  /** ISO 8601. */
  readonly createdAt: string
}

/** What became of the referral code; `accepted` is seen to after the answer. Null where there was none, or nobody signed up. */
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

/** Answer of `POST /api/auth`: exactly this, so that no column slips out by accident. */
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
