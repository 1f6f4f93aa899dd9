import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { startGuard } from '../guardian/guard.ts'

/** An empty PostgreSQL database for the tests of one file. */
export interface TestDatabase {
  readonly url: string
  /** Drops the database, stops the server if it was started for it, and leaves no file. */
  remove(): Promise<void>
}

/**
 * Creates a database on the server of `TEST_DATABASE_URL`, whose user needs the privilege; else on
 * a server in a temporary directory, which ends with this process in any case.
 */
export async function makeTestDatabase(): Promise<TestDatabase> {
  const server = process.env.TEST_DATABASE_URL
  if (server !== undefined && server !== '') return makeOnServer(server)
  const directory = mkdtempSync(join(tmpdir(), 'incidents-test-'))
  const guard = await startGuard()
  const remove = async (): Promise<void> => {
    await guard.stop()
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    return { url: await guard.openPostgres(directory, { ephemeral: true }), remove }
  } catch (error) {
    await remove()
    throw error
  }
}

async function makeOnServer(server: string): Promise<TestDatabase> {
  const name = `incidents_test_${randomBytes(6).toString('hex')}`
  const run = async (text: string): Promise<void> => {
    const client = new pg.Client({
      connectionString: server,
      connectionTimeoutMillis: 10_000,
      statement_timeout: 30_000,
    })
    await client.connect()
    try {
      await client.query(text)
    } finally {
      await client.end()
    }
  }
  await run(`create database ${name}`)
  const url = new URL(server)
  url.pathname = `/${name}`
  return { url: url.href, remove: () => run(`drop database ${name} with (force)`) }
}
