import { ms } from '../../../src/resilience/duration.ts'
import { SerialQueue } from '../../../src/resilience/serial-queue.ts'
import { AppError } from '../app-error.ts'
import { readDatabaseUrl } from '../database/database-url.ts'
import { type Partner, startPartner } from '../inbox/partner.ts'
import { startControlServer } from './control-server.ts'
import { canProxy, type DatabaseProxy, startDatabaseProxy } from './database-proxy.ts'
import type { FaultStatus, Faults } from './faults.ts'
import { lockFile } from './file-lock.ts'
import { type Mailbox, startMailbox } from './mailbox.ts'
import { hangTable, type TableHang } from './table-hang.ts'

/**
 * The surroundings of the app and their faults: the path to the database, the partner's API and the
 * mail server. Shared by all workers, so that a fault affects each of them; part of the process
 * that starts them.
 */
export interface Outside {
  /** The connection string for the app. */
  readonly databaseUrl: string
  readonly partnerUrl: string
  readonly smtpUrl: string
  /** Where the app orders faults: `GET`, `PUT` and `DELETE`. */
  readonly faultsUrl: string
  readonly partner: Partner
  readonly mailbox: Mailbox
  status(): FaultStatus
  /** Replaces the active faults. Rejects, with no fault active, if one of them is not possible. */
  order(faults: Faults): Promise<void>
  close(): Promise<void>
}

const DEFAULT_HANG = 30_000

/** @param databaseUrl the real database, which faults use directly */
export async function startOutside(databaseUrl: string, env: NodeJS.ProcessEnv = process.env): Promise<Outside> {
  const proxy: DatabaseProxy | undefined = canProxy(databaseUrl, env)
    ? await startDatabaseProxy(databaseUrl)
    : undefined
  const [partner, mailbox] = await Promise.all([startPartner(), startMailbox()])
  const address = readDatabaseUrl(databaseUrl)
  let hang: TableHang | undefined

  const clear = async (): Promise<void> => {
    if (proxy !== undefined) proxy.delay = undefined
    partner.mood = 'well'
    mailbox.mood = 'well'
    const held = hang
    hang = undefined
    await held?.release()
  }
  const status = (): FaultStatus => {
    const left = hang?.left ?? 0
    return {
      queryDelay: proxy?.delay ?? null,
      hangTable: left > 0 && hang !== undefined ? hang.table : null,
      hangLeft: left,
      partner: partner.mood,
      mail: mailbox.mood,
      queries: proxy?.queries ?? null,
    }
  }
  const apply = async (faults: Faults): Promise<void> => {
    await clear()
    const { queryDelay, hangTable: table, hangFor = DEFAULT_HANG, partner: mood = 'well', mail = 'well' } = faults
    if (queryDelay !== undefined && queryDelay[0] > queryDelay[1]) {
      throw new AppError('DELAY_REVERSED', 'The first number of queryDelay must not exceed the second.')
    }
    if (queryDelay !== undefined && proxy === undefined) {
      throw new AppError(
        'DELAY_UNSUPPORTED',
        'Queries cannot be delayed over SQLite, on an encrypted connection or a Unix socket. Unset DATABASE_URL to let npm start run PostgreSQL.',
      )
    }
    if (table !== undefined) {
      const length = ms(hangFor)
      hang = await (address.kind === 'sqlite'
        ? lockFile(address.path, table, length)
        : hangTable(address.url, table, length))
    }
    if (proxy !== undefined) proxy.delay = queryDelay
    partner.mood = mood
    mailbox.mood = mail
  }
  // In sequence: two orders at once could both leave a table locked.
  const orders = new SerialQueue()
  const order = (faults: Faults): Promise<void> => orders.run(() => apply(faults))
  const control = await startControlServer({ status, order })

  return {
    databaseUrl: proxy?.url ?? databaseUrl,
    partnerUrl: partner.url,
    smtpUrl: mailbox.url,
    faultsUrl: control.url,
    partner,
    mailbox,
    status,
    order,
    close: async () => {
      await control.close()
      await order({})
      await Promise.all([proxy?.close(), partner.close(), mailbox.close()])
    },
  }
}
