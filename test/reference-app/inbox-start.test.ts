import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { request } from '../process/support/client.ts'
import { startServer } from '../process/support/server.ts'
import { within } from '../process/support/until.ts'

const BEFORE = fileURLToPath(import.meta.resolve('./inbox/before-app.ts'))
const AFTER = fileURLToPath(import.meta.resolve('./inbox/after-app.ts'))
const CONFIG = fileURLToPath(import.meta.resolve('./inbox/punctual.config.ts'))

describe('the start of the inbox', { concurrency: 2 }, () => {
  it('before: every worker migrates, all are killed at the boot timeout, and nothing has been migrated', async () => {
    await using server = await startServer({
      entry: BEFORE,
      settings: { workers: 2, bootTimeout: '5s' },
      ready: false,
    })
    assert.equal((await within('the arbiter to give up', server.exit)).code, 3)
    const incidents = await server.incidents()
    // They are killed while waiting, so SQLite never returns an error to the app. The first kill
    // stops the arbiter, which may end the other worker.
    assert.equal(incidents.length, 2, server.output)
    for (const { outcome, error } of incidents) {
      assert.ok(outcome === 'killed' || outcome === 'exited', server.output)
      assert.equal(error, undefined)
    }
    const late = incidents.filter(({ kind, stalledForMs = 0 }) => kind === 'boot' && stalledForMs >= 5_000)
    assert.ok(late.length > 0, server.output)
    const path = join(server.directory.path, '.punctual/inbox.db')
    // On a slow machine no worker may have created it yet.
    if (!existsSync(path)) return
    const database = new DatabaseSync(path)
    assert.deepEqual(database.prepare('select name from sqlite_master').all(), [])
    database.close()
  })

  it('after: the release step migrates once, then both workers start, and the log shows exactly that, in order', async () => {
    await using server = await startServer({
      entry: AFTER,
      flags: ['--config', CONFIG],
      settings: { bootTimeout: '60s' },
    })
    const found = JSON.parse((await request(`${server.url}/discussions?word=Thread%2010`)).body ?? '[]')
    assert.deepEqual(found[0], { id: 10, source: 'messaging', subject: 'A question about thread 10' })
    await server.log('running')
    // Other tests on this machine may cause a warning about a stall.
    const lines = server.lines.filter(({ level }) => level !== 'warn')
    const begin = lines.findIndex(({ event }) => event === 'releasing')
    const events = lines.slice(begin).map(({ event }) => event)
    assert.deepEqual(events.slice(0, 7), [
      'releasing',
      'release-step-started',
      'release-step-output',
      'release-step-output',
      'release-step-done',
      'released',
      'starting',
    ])
    const output = lines.filter(({ event }) => event === 'release-step-output').map(({ line }) => String(line))
    assert.ok(
      output[0]?.includes('0001-discussions') && output[1]?.includes('0002-words-of-the-subject'),
      output.join(),
    )
    assert.deepEqual(events.slice(7).toSorted(), ['running', 'worker-ready', 'worker-ready'])
    const pids = (await server.status()).workers.map(({ pid }) => pid)
    const ready = lines.filter(({ event }) => event === 'worker-ready').map(({ workerPid }) => workerPid)
    assert.deepEqual(ready.toSorted(), pids.toSorted())
  })
})
