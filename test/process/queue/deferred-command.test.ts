import assert from 'node:assert/strict'
import { chownSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type DeadLetter, DeadLetterStore } from '../../../src/queue/dead-letters.ts'
import { QUEUE_TOPIC, type QueuesReport } from '../../../src/queue/queue-report.ts'
import { request } from '../support/client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const INDEX = join(import.meta.dirname, '../../../src/index.ts')

const files = {
  'app.mjs': `
import { appendFileSync, existsSync } from 'node:fs'
import http from 'node:http'
import { durableQueue } from '${INDEX.replace('index.ts', 'queue/index.ts')}'

const mails = durableQueue('mails', (items, { ids }) => {
  if (!existsSync('fixed') && items.some(({ to }) => to.startsWith('bad'))) throw new Error('no such\\nmailbox')
  appendFileSync('sent', items.map(({ to }, index) => to + ' ' + ids[index] + '\\n').join(''))
}, { linger: '1ms', attempts: 2, backOff: { from: 1, to: 1 } })

http.createServer((request, response) => {
  response.end(mails.push({ to: request.url.slice(1) }))
}).listen(process.env.PORT, process.env.HOST)
`,
}

/** What a command prints with `--json`. */
async function json(server: TestServer, ...args: readonly string[]) {
  const { code, stdout, stderr } = await server.command(...args, '--json')
  assert.equal(code, 0, stderr)
  return JSON.parse(stdout)
}

async function hasDeadLetters(server: TestServer): Promise<boolean> {
  return (await new DeadLetterStore(join(server.stateDirectory, 'spool'), 'mails').count()) > 0
}

test('dead letters are listed, deleted and retried, and a running worker handles them', async () => {
  await using server = await startServer({ files, settings: { workers: 1 } })
  const sent = (): readonly string[] => {
    const path = join(server.directory.path, 'sent')
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : []
  }
  const deadLetters = (): Promise<readonly DeadLetter[]> =>
    new DeadLetterStore(join(server.stateDirectory, 'spool'), 'mails').list()
  for (const to of ['good', 'bad1', 'bad2', 'bad3']) await request(`${server.url}/${to}`)
  await until('three dead letters', async () => (await deadLetters()).length === 3)
  const letters = await deadLetters()
  assert.deepEqual(
    letters.map(({ item }) => item).toSorted((one, other) => JSON.stringify(one).localeCompare(JSON.stringify(other))),
    [{ to: 'bad1' }, { to: 'bad2' }, { to: 'bad3' }],
  )

  // A worker reports once a second: the last report may be older.
  await server.until('the worker to report them', ({ workers }) =>
    workers.some(({ modules }) => {
      const { depth, deadLetters: buried } = (modules[QUEUE_TOPIC] as QueuesReport | undefined)?.queues.mails ?? {}
      return depth === 0 && buried === 3
    }),
  )
  const [mails, ...others] = await json(server, 'deferred')
  assert.deepEqual(others, [])
  const { name, running, deadLetters: count } = mails
  assert.deepEqual([name, running.depth, running.oldestAgeMs, running.degraded, count], ['mails', 0, null, false, 3])
  assert.ok(mails.bytes > 0)
  assert.deepEqual(await json(server, 'deferred', 'mails'), letters)
  // Without --json: a row for each queue, and the text of an item cannot forge another line.
  const table = await server.command('deferred')
  assert.equal(table.code, 0, table.stderr)
  const [heading = '', row = '', ...rows] = table.stdout.trimEnd().split('\n')
  assert.equal(heading.trim().split(/ {2,}/).length, 6)
  const cells = row.trim().split(/ {2,}/)
  assert.deepEqual(cells.slice(0, 4), ['mails', '0', '-', '3'])
  assert.deepEqual(rows, [])
  const listed = await server.command('deferred', 'mails')
  assert.equal(listed.stdout.trimEnd().split('\n').length, 6)

  for (const [args, details] of [
    [['retry', 'mail', '--all'], { queue: 'mail', reason: 'no-such-queue', queues: ['mails'] }],
    [['drop', 'mails'], { queue: 'mails', reason: 'none-named' }],
    [['retry', 'mails', 'nonsense'], { queue: 'mails', reason: 'no-such-dead-letter', missing: ['nonsense'] }],
  ] as const) {
    const { code, stderr } = await server.command('deferred', ...args, '--json')
    assert.equal(code, 2, stderr)
    const error = JSON.parse(stderr)
    assert.deepEqual([error.code, error.details], ['PUNCTUAL_USAGE', details])
  }
  assert.equal((await deadLetters()).length, 3)

  const [dropped, ...rest] = letters
  const drop = await json(server, 'deferred', 'drop', 'mails', dropped?.id ?? '')
  assert.deepEqual(drop, { queue: 'mails', dropped: 1 })
  writeFileSync(join(server.directory.path, 'fixed'), '')
  const [first, second] = rest
  const retry = await json(server, 'deferred', 'retry', 'mails', first?.id ?? '')
  assert.deepEqual(retry, { queue: 'mails', retried: 1 })
  await until('the first to be sent', () => sent().some((line) => line.endsWith(first?.id ?? '-')))
  const retryAll = await json(server, 'deferred', 'retry', 'mails', '--all')
  assert.deepEqual(retryAll, { queue: 'mails', retried: 1 })
  await until('the second to be sent', () => sent().some((line) => line.endsWith(second?.id ?? '-')))
  assert.deepEqual(await deadLetters(), [])
  assert.equal(sent().length, 3)
})

test('dead letters are retried when nothing runs, and delivered after the next start', async () => {
  const first = await startServer({ files, settings: { workers: 1 } })
  await using _ = first
  await request(`${first.url}/bad`)
  await until('the dead letter', () => hasDeadLetters(first))
  await first.stop()
  const [mails] = await json(first, 'deferred')
  assert.deepEqual([mails.name, mails.running, mails.deadLetters], ['mails', null, 1])
  const retry = await first.command('deferred', 'retry', 'mails', '--all')
  assert.equal(retry.code, 0, retry.stderr)
  const fixed = { ...files, fixed: '' }
  await using second = await startServer({ files: fixed, settings: { workers: 1, stateDir: first.stateDirectory } })
  await until('it to be sent', () => existsSync(join(second.directory.path, 'sent')))
})

test('dead letters of another user are neither retried nor deleted', async (t) => {
  if (process.geteuid?.() !== 0) return t.skip('only root can give files to another user')
  await using server = await startServer({ files, settings: { workers: 1 } })
  const queue = join(server.stateDirectory, 'spool', 'mails')
  await request(`${server.url}/bad`)
  await until('the dead letter', () => hasDeadLetters(server))
  await server.stop()
  chownSync(queue, 12_345, 12_345)
  for (const verb of ['retry', 'drop']) {
    const { code, stderr } = await server.command('deferred', verb, 'mails', '--all', '--json')
    assert.equal(code, 2, stderr)
    const { details } = JSON.parse(stderr)
    assert.deepEqual(details, { queue: 'mails', reason: 'other-user', owner: 12_345, user: 0 })
  }
  assert.equal((await new DeadLetterStore(join(server.stateDirectory, 'spool'), 'mails').list()).length, 1)
})
