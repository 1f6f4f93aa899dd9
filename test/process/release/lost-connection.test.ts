import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type pg from 'pg'
import { startPostgres, type TestServer } from '../database/postgres.ts'
import { until, within } from '../support/until.ts'
import { type LossyProxy, startLossyProxy } from './lossy-proxy.ts'
import { ReleaseApp } from './release-app.ts'

let server: TestServer
let proxy: LossyProxy
let outsider: pg.Client

before(async () => {
  server = await startPostgres()
  outsider = await server.outsider()
  proxy = await startLossyProxy(server.port)
})

after(async () => {
  await proxy?.close()
  await outsider?.end()
  await server?.stop()
})

describe('a connection lost during a long step', { concurrency: 2 }, () => {
  const createApp = (name: string, port: number): ReleaseApp =>
    new ReleaseApp(
      `export default { releaseVersion: 'v1', releaseLock: 'env:DATABASE_URL', release: [
        { name: 'long', run: async ({ query }) => {
          await query('select 1')
          const { existsSync, writeFileSync } = await import('node:fs')
          writeFileSync('begun', '')
          while (!existsSync('go')) await new Promise((resolve) => setTimeout(resolve, 50))
        } } ] }`,
      { DATABASE_URL: `postgres://${server.user}:${server.password}@127.0.0.1:${port}/postgres` },
      { 'package.json': `{ "name": "${name}", "type": "module" }` },
    )
  const outcomes = async (app: string): Promise<readonly string[]> => {
    const { rows } = await outsider.query('select outcome from punctual_releases where app = $1', [app])
    return rows.map(({ outcome }) => outcome)
  }

  it('silently: the record connection is reopened, and closing the others does not delay the release', async () => {
    await using app = createApp('silent', proxy.port)
    const running = app.start()
    await until('the step to have begun', () => existsSync(join(app.directory.path, 'begun')))
    assert.equal(proxy.lose(/^punctual (release record|step .*)$/), 2)
    writeFileSync(join(app.directory.path, 'go'), '')
    const { code, stderr } = await within('the release', running.ended, 60_000)
    assert.equal(code, 0, stderr)
    assert.deepEqual(await outcomes('silent'), ['done'])
  })

  it('by the server while saving the record: the record is saved over a new connection', async () => {
    await using app = createApp('ended', server.port)
    const running = app.start()
    await until('the step to have begun', () => existsSync(join(app.directory.path, 'begun')))
    await outsider.query('begin')
    await outsider.query(`select from punctual_releases where app = 'ended' for update`)
    writeFileSync(join(app.directory.path, 'go'), '')
    await until('the record to be written', async () => {
      const text = `select pg_terminate_backend(pid) from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'punctual release record'`
      return (await outsider.query(text)).rows.length > 0
    })
    await outsider.query('rollback')
    const { code, stderr } = await running.ended
    assert.equal(code, 0, stderr)
    assert.deepEqual(await outcomes('ended'), ['done'])
  })
})
