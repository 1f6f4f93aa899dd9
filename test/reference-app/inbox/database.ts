import { resolve } from 'node:path'

/** The SQLite file of the inbox apps: `INBOX_DATABASE`, else a file in the state directory. */
export function inboxDatabase(env: NodeJS.ProcessEnv = process.env): string {
  return resolve(env.INBOX_DATABASE || '.punctual/inbox.db')
}
