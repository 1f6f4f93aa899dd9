import { type Limit, withQueryLimit } from '../punctual.ts'
import type { Client, Credentials, LoginService, SignedIn } from './contract.ts'
import type { LoginStore } from './login-store.ts'
import { verifyPassword } from './password.ts'
import { hashToken, newToken } from './session-token.ts'

/**
 * The login over either database. Its audit rows are written before the answer: the client waits for them, but no longer than `limit`, which all queries of
 * one call share. Then the error of the guarded database is a 503.
 */
export function createLoginService(store: LoginStore, limit: Limit): LoginService {
  return {
    login: (credentials, client) => withQueryLimit('login', limit, () => login(store, credentials, client)),
    me: (token) => withQueryLimit('session', limit, () => store.findSessionUser(hashToken(token))),
    logout: (token, client) => withQueryLimit('logout', limit, () => logout(store, token, client)),
  }
}

async function login(
  store: LoginStore,
  { username, password }: Credentials,
  client: Client,
): Promise<SignedIn | undefined> {
  const known = await store.findUser(username)
  const right = await verifyPassword(password, known?.passwordHash)
  if (known === undefined || !right) {
    await store.recordSecurityEvent({ event: 'login_failed', userId: known?.id ?? null, username, client })
    return undefined
  }
  const lastLoginAt = await store.stampLogin(known.id)
  const token = newToken()
  await store.startSession(known.id, hashToken(token))
  await store.recordSecurityEvent({ event: 'login', userId: known.id, username: known.username, client })
  await store.recordActivity(known.id, 'login')
  return { token, user: { id: known.id, username: known.username, lastLoginAt } }
}

async function logout(store: LoginStore, token: string, client: Client): Promise<void> {
  const hash = hashToken(token)
  const user = await store.findSessionUser(hash)
  await store.endSession(hash)
  if (user === undefined) return
  await store.recordSecurityEvent({ event: 'logout', userId: user.id, username: user.username, client })
  await store.recordActivity(user.id, 'logout')
}
