import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type pg from 'pg'
import { startPostgres, type TestServer } from '../database/postgres.ts'
import { until, within } from '../support/until.ts'
import { type LossyProxy, startLossyProxy } from './lossy-proxy.ts'
import { ReleasePlace } from './place.ts'

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

describe('a connection that goes during a long step', { concurrency: 2 }, () => {
  const place = (name: string, port: number): ReleasePlace =>
    new ReleasePlace(
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

  it('without a word: that of the record is opened anew, and nobody waits for the farewell of the others', async () => {
    await using at = place('silent', proxy.port)
    const running = at.start()
    await until('the step to have begun', () => existsSync(join(at.directory.path, 'begun')))
    assert.equal(proxy.lose(/^punctual (release record|step .*)$/), 2)
    writeFileSync(join(at.directory.path, 'go'), '')
    const { code, stderr } = await within('the release', running.ended, 60_000)
    assert.equal(code, 0, stderr)
    assert.deepEqual(await outcomes('silent'), ['done'])
  })

  it('by the will of the server, in the middle of writing down: it is written over another', async () => {
    await using at = place('ended', server.port)
    const running = at.start()
    await until('the step to have begun', () => existsSync(join(at.directory.path, 'begun')))
    await outsider.query('begin')
    await outsider.query(`select from punctual_releases where app = 'ended' for update`)
    writeFileSync(join(at.directory.path, 'go'), '')
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
