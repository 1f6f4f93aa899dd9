import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import { createTransport } from 'nodemailer'
import type { Database } from '../database/schema.ts'
import { withTimeout } from '../punctual.ts'

/** Covers one letter, from connecting to the reply of the mail server. */
const LETTER_LIMIT = '10s'
const FROM = 'Incidents <hello@incidents.example>'

/** Sends the letters in the outbox about these users. A letter keeps its id if it is sent again. */
export type SendLetters = (about: readonly number[]) => Promise<void>

export interface Letters {
  readonly send: SendLetters
  /** Closes the connection to the mail server. */
  close(): Promise<void>
}

/** @param url `smtp://…`; undefined leaves letters in the outbox */
export function openLetters(db: Kysely<Database>, url: string | undefined): Letters {
  if (url === undefined) return { send: async () => {}, close: async () => {} }
  const server = createTransport({
    url,
    pool: true,
    maxConnections: 1,
    connectionTimeout: 5_000,
    greetingTimeout: 5_000,
    socketTimeout: 10_000,
  })
  const send: SendLetters = async (about) => {
    const letters = await db
      .selectFrom('email_outbox')
      .innerJoin('auth_users', 'auth_users.id', 'about_user_id')
      .select(['email_outbox.id', 'recipient', 'username'])
      .where('about_user_id', 'in', about)
      .where('sent_at', 'is', null)
      .orderBy('email_outbox.id')
      .execute()
    for (const { id, recipient, username } of letters) {
      const letter = {
        from: FROM,
        to: recipient,
        messageId: `<outbox-${id}@incidents.example>`,
        subject: `${username} has joined`,
        text: `${username} signed up with your code. Thank you!\n`,
      }
      // A letter that timed out leaves the pool too: otherwise it would be sent later, besides its
      // retry.
      await withTimeout('letter', LETTER_LIMIT, ({ signal }) => server.sendMail({ ...letter, signal }))
      await db.updateTable('email_outbox').set({ sent_at: sql<Date>`now()` }).where('id', '=', id).execute()
    }
  }
  return { send, close: async () => server.close() }
}
