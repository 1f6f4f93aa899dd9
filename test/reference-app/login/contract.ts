/**
 * The contract of the login over HTTP. Routes and tests depend only on this, so that
 * implementations can be exchanged.
 */
export interface LoginService {
  /**
   * Verifies the password, updates the user, records the login, and starts a session. Undefined for
   * wrong credentials, which are recorded too.
   */
  login(credentials: Credentials, client: Client): Promise<SignedIn | undefined>
  /** Finds the user of a session; undefined if it does not exist or has expired. */
  me(token: string): Promise<User | undefined>
  /** Ends a session, if it exists. */
  logout(token: string, client: Client): Promise<void>
}

export interface Credentials {
  readonly username: string
  readonly password: string
}

/** The origin of a request, for the audit. */
export interface Client {
  readonly ip: string
  readonly userAgent: string
}

export interface User {
  readonly id: number
  readonly username: string
  /** ISO 8601; null before the first login. */
  readonly lastLoginAt: string | null
}

export interface SignedIn {
  readonly user: User
  /** Only sent in the cookie. */
  readonly token: string
}

/** How long a session lasts, in seconds: 24 h. */
export const SESSION_SECONDS = 86_400

/** Body of `POST /login`. */
export const CREDENTIALS_SCHEMA = {
  type: 'object',
  required: ['username', 'password'],
  additionalProperties: false,
  properties: {
    // PostgreSQL text cannot contain a zero byte, and no name contains control characters.
    username: { type: 'string', minLength: 1, maxLength: 64, pattern: '^[^\\u0000-\\u001f\\u007f]+$' },
    password: { type: 'string', minLength: 1, maxLength: 1_024 },
  },
} as const

/** Response of `POST /login` and `GET /me`: exactly these fields, so that no other column leaks. */
export const USER_ANSWER_SCHEMA = {
  type: 'object',
  required: ['user'],
  properties: {
    user: {
      type: 'object',
      required: ['id', 'username', 'lastLoginAt'],
      properties: {
        id: { type: 'integer' },
        username: { type: 'string' },
        lastLoginAt: { type: ['string', 'null'] },
      },
    },
  },
} as const
