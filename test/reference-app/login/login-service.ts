import { wallClock } from '../../../src/resilience/clock.ts'
import type { Audit } from './audit.ts'
import type { Client, Credentials, LoginService, SignedIn } from './contract.ts'
import type { LoginStore } from './login-store.ts'
import { verifyPassword } from './password.ts'
import { hashToken, newToken } from './session-token.ts'

/** The login over either database, without a timeout of its own. */
export function createLoginService(store: LoginStore, audit: Audit): LoginService {
  return {
    login: (credentials, client) => login(store, audit, credentials, client),
    me: (token) => store.findSessionUser(hashToken(token)),
    logout: (token, client) => logout(store, audit, token, client),
  }
}

async function login(
  store: LoginStore,
  audit: Audit,
  { username, password }: Credentials,
  client: Client,
): Promise<SignedIn | undefined> {
  const known = await store.findUser(username)
  const right = await verifyPassword(password, known?.passwordHash)
  const at = now()
  if (known === undefined || !right) {
    await audit.securityEvent({ event: 'login_failed', userId: known?.id ?? null, username, client, at })
    return undefined
  }
  const lastLoginAt = await store.stampLogin(known.id)
  const token = newToken()
  await store.startSession(known.id, hashToken(token))
  await audit.securityEvent({ event: 'login', userId: known.id, username: known.username, client, at })
  await audit.activity({ userId: known.id, activity: 'login', at })
  return { token, user: { id: known.id, username: known.username, lastLoginAt } }
}

async function logout(store: LoginStore, audit: Audit, token: string, client: Client): Promise<void> {
  const hash = hashToken(token)
  const user = await store.findSessionUser(hash)
  await store.endSession(hash)
  if (user === undefined) return
  const at = now()
  await audit.securityEvent({ event: 'logout', userId: user.id, username: user.username, client, at })
  await audit.activity({ userId: user.id, activity: 'logout', at })
}

function now(): string {
  return wallClock().toISOString()
}
