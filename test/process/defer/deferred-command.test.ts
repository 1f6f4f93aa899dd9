import assert from 'node:assert/strict'
import { chownSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { type DeadLetter, DeadLetters } from '../../../src/defer/dead-letters.ts'
import { DEFER_TOPIC, type DeferReport } from '../../../src/report/rooms/defer-report.ts'
import { request } from '../support/client.ts'
import { startServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const INDEX = join(import.meta.dirname, '../../../src/index.ts')

const files = {
  'app.mjs': `
import { appendFileSync, existsSync } from 'node:fs'
import http from 'node:http'
import { durableQueue } from '${INDEX}'

const mails = durableQueue('mails', (items, { ids }) => {
  if (!existsSync('mended') && items.some(({ to }) => to.startsWith('bad'))) throw new Error('no such\\nmailbox')
  appendFileSync('sent', items.map(({ to }, index) => to + ' ' + ids[index] + '\\n').join(''))
}, { linger: '1ms', attempts: 2, backOff: { from: 1, to: 1 } })

http.createServer((request, response) => {
  response.end(mails.push({ to: request.url.slice(1) }))
}).listen(process.env.PORT, process.env.HOST)
`,
}

test('dead letters are listed, deleted, and put back into their queue, where a running worker finds them', async () => {
  await using server = await startServer({ files, settings: { workers: 1 } })
  const sent = (): readonly string[] => {
    const path = join(server.directory.path, 'sent')
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(0, -1) : []
  }
  const deadLetters = (): Promise<readonly DeadLetter[]> =>
    new DeadLetters(join(server.stateDirectory, 'spool'), 'mails').list()
  for (const to of ['good', 'bad1', 'bad2', 'bad3']) await request(`${server.url}/${to}`)
  await server.log(/went to the dead letters \(punctual deferred mails\)/)
  await until('three dead letters', async () => (await deadLetters()).length === 3)
  const letters = await deadLetters()
  assert.deepEqual(
    letters.map(({ item }) => item).toSorted((one, other) => JSON.stringify(one).localeCompare(JSON.stringify(other))),
    [{ to: 'bad1' }, { to: 'bad2' }, { to: 'bad3' }],
  )

  // It reports once a second: what it said last may be of a time when they were in work.
  await server.until('the worker to report them', ({ workers }) =>
    workers.some(({ rooms }) => {
      const { depth, deadLetters: buried } = (rooms[DEFER_TOPIC] as DeferReport | undefined)?.queues.mails ?? {}
      return depth === 0 && buried === 3
    }),
  )
  const all = await server.command('deferred')
  assert.equal(all.code, 0, all.stderr)
  assert.match(all.stdout, /^QUEUE +ITEMS +OLDEST +DEAD LETTERS +ON DISK +PROCESSES/)
  assert.match(all.stdout, /^mails +0 +- +3 +\d+ KiB/m)
  const one = await server.command('deferred', 'mails')
  assert.equal(one.code, 0, one.stderr)
  assert.match(one.stdout, /2 attempts {2}Error: no such\\x0amailbox\n {2}\{"to":"bad\d"\}/)

  for (const [args, message] of [
    [['deferred', 'retry', 'mail', '--all'], /there is no queue mail in .*; it has mails/],
    [['deferred', 'drop', 'mails'], /name the dead letters, or --all of them/],
    [['deferred', 'retry', 'mails', 'nonsense'], /mails has no dead letter nonsense/],
  ] as const) {
    const { code, stderr } = await server.command(...args)
    assert.equal(code, 2, stderr)
    assert.match(stderr, message)
  }
  assert.equal((await deadLetters()).length, 3)

  const [dropped, ...rest] = letters
  const drop = await server.command('deferred', 'drop', 'mails', dropped?.id ?? '')
  assert.equal(drop.stdout, '1 of mails deleted\n', drop.stderr)
  writeFileSync(join(server.directory.path, 'mended'), '')
  const [first, second] = rest
  const retry = await server.command('deferred', 'retry', 'mails', first?.id ?? '')
  assert.match(retry.stdout, /^1 of mails will be tried again/, retry.stderr)
  await until('the first to be sent', () => sent().some((line) => line.endsWith(first?.id ?? '-')))
  const retryAll = await server.command('deferred', 'retry', 'mails', '--all')
  assert.match(retryAll.stdout, /^1 of mails will be tried again/, retryAll.stderr)
  await until('the second to be sent', () => sent().some((line) => line.endsWith(second?.id ?? '-')))
  assert.deepEqual(await deadLetters(), [])
  assert.equal(sent().length, 3)
})

test('dead letters are put back also when nothing runs, and delivered after the next start', async () => {
  const first = await startServer({ files, settings: { workers: 1 } })
  await using _ = first
  await request(`${first.url}/bad`)
  await first.log(/went to the dead letters/)
  await first.stop()
  const all = await first.command('deferred')
  assert.match(all.stdout, /^mails +- +- +1 /m)
  const retry = await first.command('deferred', 'retry', 'mails', '--all')
  assert.equal(retry.code, 0, retry.stderr)
  const mended = { ...files, mended: '' }
  await using second = await startServer({ files: mended, settings: { workers: 1, stateDir: first.stateDirectory } })
  await until('it to be sent', () => existsSync(join(second.directory.path, 'sent')))
})

test('dead letters of another user are neither put back nor deleted, since its workers could not read what is written', async (t) => {
  if (process.geteuid?.() !== 0) return t.skip('only root can give files to another user')
  await using server = await startServer({ files, settings: { workers: 1 } })
  const queue = join(server.stateDirectory, 'spool', 'mails')
  await request(`${server.url}/bad`)
  await server.log(/went to the dead letters/)
  await server.stop()
  chownSync(queue, 12_345, 12_345)
  for (const verb of ['retry', 'drop']) {
    const { code, stderr } = await server.command('deferred', verb, 'mails', '--all')
    assert.equal(code, 2, stderr)
    assert.match(stderr, /belongs to the user with the id 12345.* sudo -u '#12345'/)
  }
  assert.equal((await new DeadLetters(join(server.stateDirectory, 'spool'), 'mails').list()).length, 1)
})
