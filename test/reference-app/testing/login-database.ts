import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openPool } from '../database/pool.ts'
import { openSqlite } from '../punctual.ts'
import { makeTestDatabase } from './database.ts'

/** A database for the tests of the login, with what differs between databases. */
export interface LoginDatabase {
  readonly url: string
  /** A URL that cannot be reached. */
  readonly lostUrl: string
  /** Queries that bypass the app. */
  ask(sql: string): Promise<readonly Record<string, unknown>[]>
  /** Another database of the same kind, used only by the app; release it first. */
  readonly apartUrl: string
  /** Counts the connections of the login to that one, or the descriptors of its file. */
  connections(): Promise<number>
  /** Locks what a login writes to. */
  lock(): Promise<Lock>
  /** Whether it can be read meanwhile. */
  readonly lockedReads: boolean
  remove(): Promise<void>
}

export interface Lock {
  held(): boolean
  /** Safe to call twice. */
  release(): Promise<void>
}

export async function openPostgresForTest(): Promise<LoginDatabase> {
  const database = await makeTestDatabase()
  const pool = openPool({ url: database.url, max: 2 })
  return {
    url: database.url,
    apartUrl: database.url,
    lostUrl: 'postgres://secret:secret@127.0.0.1:1/nowhere',
    ask: async (sql) => (await pool.query(sql)).rows,
    connections: async () => {
      const { rows } = await pool.query<{ n: number }>(
        `select count(*)::int as n from pg_stat_activity where application_name = 'incidents login' and datname = current_database()`,
      )
      return rows[0]?.n ?? 0
    },
    lock: async () => {
      const client = await pool.connect()
      await client.query('begin; lock table users, sessions in access exclusive mode')
      let held = true
      return {
        held: () => held,
        release: async () => {
          if (!held) return
          held = false
          await client.query('rollback')
          client.release()
        },
      }
    },
    lockedReads: false,
    remove: async () => {
      await pool.end()
      await database.remove()
    },
  }
}

export async function openSqliteForTest(): Promise<LoginDatabase> {
  const directory = mkdtempSync(join(tmpdir(), 'incidents-login-'))
  const path = join(directory, 'login.db')
  // SQLite keeps a closed descriptor while another connection of this process has the file open.
  const apart = join(directory, 'apart.db')
  const own = openSqlite('test', path, { readers: 0 })
  return {
    url: `sqlite:${path}`,
    apartUrl: `sqlite:${apart}`,
    lostUrl: `sqlite:${join(directory, 'nowhere', 'secret.db')}`,
    ask: async (sql) => (/^select/.test(sql) ? own.all(sql) : [await own.run(sql)].map(() => ({}))),
    connections: async () => openDescriptors(apart),
    lock: () => lockInOtherProcess(path),
    lockedReads: true,
    remove: async () => {
      await own.close()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

/** Counts how often this process has the file open. */
function openDescriptors(path: string): number {
  return readdirSync('/proc/self/fd').filter((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`) === path
    } catch {
      // The descriptor of this directory listing is closed by now.
      return false
    }
  }).length
}

const LOCKER = `
  const { DatabaseSync } = require('node:sqlite')
  const db = new DatabaseSync(process.argv[1], { timeout: 20000 })
  db.exec('begin exclusive')
  process.send('locked')
  process.on('message', () => { db.exec('rollback'); db.close(); process.disconnect() })
`

async function lockInOtherProcess(path: string): Promise<Lock> {
  const child: ChildProcess = spawn(process.execPath, ['--no-warnings', '--eval', LOCKER, path], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const ended = once(child, 'exit')
  const said = await Promise.race([once(child, 'message'), ended])
  if (said[0] !== 'locked') throw new Error(`the process that locks ${path} ended with ${String(said[0])}`)
  let asked = false
  return {
    held: () => !asked && child.exitCode === null,
    release: async () => {
      if (!asked) child.send('release')
      asked = true
      await ended
    },
  }
}
