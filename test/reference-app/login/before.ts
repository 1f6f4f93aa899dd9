import { randomUUID } from 'node:crypto'
import { pause } from '../../../src/resilience/clock.ts'
import { ms } from '../../../src/resilience/duration.ts'
import type { AuditStore } from './audit.ts'
import type { LoginService } from './contract.ts'
import { createLoginService } from './login-service.ts'
import type { LoginStore } from './login-store.ts'

const TRIES = 5
const DELAY = 200

/**
 * The login of the first incident: it waits until both audit rows are written, on a database
 * without timeouts, and retries continuously while the database is locked.
 */
export function createLoginBefore(store: LoginStore & AuditStore): LoginService {
  return createLoginService(store, {
    securityEvent: (record) => insist(() => store.recordSecurityEvents([{ ...record, id: randomUUID() }])),
    activity: (record) => insist(() => store.recordActivities([{ ...record, id: randomUUID() }])),
  })
}

async function insist(write: () => Promise<void>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await write()
    } catch (error) {
      if (tries === TRIES) throw error
      await pause(ms(DELAY * 2 ** tries))
    }
  }
}
