import { type Duration, withQueryTimeout } from '../punctual.ts'
import type { Audit } from './audit.ts'
import type { LoginService } from './contract.ts'
import { createLoginService } from './login-service.ts'
import type { LoginStore } from './login-store.ts'

/**
 * The login on Punctual: the audit is deferred, so that no login waits for it. The queries of a
 * request share `timeout` on a guarded database; its error becomes a 503.
 */
export function createLoginAfter(store: LoginStore, audit: Audit, timeout: Duration): LoginService {
  const service = createLoginService(store, audit)
  return {
    login: (credentials, client) => withQueryTimeout('login', timeout, () => service.login(credentials, client)),
    me: (token) => withQueryTimeout('session', timeout, () => service.me(token)),
    logout: (token, client) => withQueryTimeout('logout', timeout, () => service.logout(token, client)),
  }
}
