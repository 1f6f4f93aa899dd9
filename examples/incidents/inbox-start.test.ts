import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { request } from '../../test/process/support/client.ts'
import { startServer } from '../../test/process/support/server.ts'
import { within } from '../../test/process/support/until.ts'

const BEFORE = fileURLToPath(import.meta.resolve('./inbox/before-app.ts'))
const AFTER = fileURLToPath(import.meta.resolve('./inbox/after-app.ts'))
const CONFIG = fileURLToPath(import.meta.resolve('./inbox/punctual.config.ts'))

describe('the start of the inbox', { concurrency: 2 }, () => {
  it('before: every worker migrates, all are killed at the boot limit, and nothing has been migrated', async () => {
    await using server = await startServer({
      entry: BEFORE,
      settings: { workers: 2, bootLimit: '5s' },
      ready: false,
    })
    assert.equal((await within('the arbiter to give up', server.exit)).code, 3)
    const kinds = (await server.incidents()).map(({ kind }) => kind)
    assert.deepEqual(kinds, ['boot', 'boot'], server.output)
    assert.match(server.output, /not ready within the boot limit of 5s/)
    assert.doesNotMatch(server.output, /timeout/i)
    const path = join(server.directory.path, '.punctual/inbox.db')
    // On a machine that is slow enough none has come so far as to make it.
    if (!existsSync(path)) return
    const database = new DatabaseSync(path)
    assert.deepEqual(database.prepare('select name from sqlite_master').all(), [])
    database.close()
  })

  it('after: the release step migrates once, then both workers come up, and the log tells just that, in that order', async () => {
    await using server = await startServer({
      entry: AFTER,
      flags: ['--config', CONFIG],
      settings: { bootLimit: '60s' },
    })
    const found = JSON.parse((await request(`${server.url}/discussions?word=Thread%2010`)).body ?? '[]')
    assert.deepEqual(found[0], { id: 10, source: 'messaging', subject: 'A question about thread 10' })
    await server.log(/^ready: /)
    // A stall is a word about this machine, on which other tests run too.
    const told = server.lines.filter(({ level, msg }) => level !== 'warn' && !/^(punctual|setting) /.test(msg))
    assert.deepEqual(
      told.slice(0, 7).map(({ msg }) => msg.replace(/ after [\d.]+ m?s$/, '').replace(/^release \S+ is/, 'release is')),
      [
        'release before generation 1',
        'release step migrate: begins',
        'release step migrate: 0001-discussions was run',
        'release step migrate: 0002-words-of-the-subject was run',
        'release step migrate: done',
        'release is done: 1 step',
        'starting 2 workers of after-app.ts',
      ],
    )
    const listening = told.slice(7).map(({ msg }) => msg)
    const pids = (await server.status()).workers.map(({ id, pid }) => `worker ${id} (pid ${pid}) is ready`)
    assert.deepEqual(
      listening.map((msg) => msg.replace(/ after .*|, on http.*/, '')).toSorted(),
      ['ready: 2 workers, generation 1', ...pids].toSorted(),
    )
  })
})
