/**
 * What the login promises over HTTP, whoever keeps the promise: routes and tests know only this, so that one
 * implementation can take the place of another.
 */
export interface LoginService {
  /** Verifies, stamps, records, and starts a session. Undefined: wrong credentials, which is recorded too. */
  login(credentials: Credentials, client: Client): Promise<SignedIn | undefined>
  /** The user of a session; undefined when there is none, or it has expired. */
  me(token: string): Promise<User | undefined>
  /** Ends a session. One that does not exist is fine. */
  logout(token: string, client: Client): Promise<void>
}

export interface Credentials {
  readonly username: string
  readonly password: string
}

/** Where a request came from, for the record. */
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
  /** Goes into the cookie, and nowhere else. */
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
    // PostgreSQL's text cannot hold a zero byte, and no name has control characters.
    username: { type: 'string', minLength: 1, maxLength: 64, pattern: '^[^\\u0000-\\u001f\\u007f]+$' },
    password: { type: 'string', minLength: 1, maxLength: 1_024 },
  },
} as const

/** Answer of `POST /login` and `GET /me`: exactly this, so that no column slips out by accident. */
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
