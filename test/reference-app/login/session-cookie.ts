/** Name of the cookie with the session token. */
const SESSION_COOKIE = 'session'

/** The `Set-Cookie` that starts a session: not readable by scripts, not sent by other sites. */
export function sessionCookie(token: string, maxAgeSeconds: number, secure: boolean): string {
  return `${SESSION_COOKIE}=${token}; Path=/; Max-Age=${maxAgeSeconds}; HttpOnly; SameSite=Lax${secure ? '; Secure' : ''}`
}

/** The `Set-Cookie` that ends it. */
export function endedSessionCookie(secure: boolean): string {
  return sessionCookie('', 0, secure)
}

/** Reads the session token from a `Cookie` header; undefined if there is none in our format. */
export function readSessionToken(header: string | undefined): string | undefined {
  for (const pair of header?.split(';') ?? []) {
    const [name, value = ''] = pair.trim().split('=', 2)
    if (name === SESSION_COOKIE && /^[\w-]{43}$/.test(value)) return value
  }
  return undefined
}
