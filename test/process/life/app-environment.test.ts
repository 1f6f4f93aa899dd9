import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { request } from '../support/client.ts'
import { startServer } from '../support/server.ts'

/** Describes its environment: as an export of the app, or printed by plain Node. */
const ABOUT = `
import { basename } from 'node:path'
export const about = () => ({
  argv: process.argv.map((argument) => basename(argument)),
  execArgv: process.execArgv,
  cwd: process.cwd(),
  main: basename(process.argv[1]),
  title: process.title === process.execPath || process.title === 'node' || process.title.includes('node'),
  stdin: process.stdin.constructor.name !== '',
  preloads: globalThis.preloads ?? [],
})
`

describe('an app has the same environment as under plain node', { concurrency: 2 }, () => {
  it('its arguments, flags and working directory, plus PORT and HOST', async () => {
    const files = {
      'app.ts': `
import { about } from './about.ts'
if (process.argv.includes('--print')) console.log(JSON.stringify(about()))
export default (request, response) => response.end(JSON.stringify({ ...about(), port: process.env.PORT, host: process.env.HOST }))
`,
      'about.ts': ABOUT,
    }
    await using server = await startServer({
      files,
      settings: { workers: 1 },
      nodeFlags: ['--no-warnings', '--max-http-header-size=9000'],
      flags: ['--', 'one', '--two=2', '--print'],
    })
    const plain = await new Promise<string>((resolve) => {
      const args = ['--no-warnings', '--max-http-header-size=9000', 'app.ts', 'one', '--two=2', '--print']
      execFile(process.execPath, args, { cwd: server.directory.path, timeout: 30_000 }, (_, stdout) => resolve(stdout))
    })
    const { port, host, ...seen } = JSON.parse((await request(server.url)).body)
    assert.deepEqual(seen, JSON.parse(plain))
    assert.equal(port, String(server.port))
    assert.equal(host, '127.0.0.1')
  })

  it('its own IPC channel, without messages of Punctual', async () => {
    await using server = await startServer({
      files: {
        'app.js': `
const received = []
process.on('message', (message) => received.push(message))
process.send?.('ready')
process.send?.({ type: 'ready', punctuality: true })
process.send?.(null)
export default (request, response) => response.end(JSON.stringify(received))
`,
      },
      settings: { workers: 1 },
    })
    assert.equal((await server.command('reload')).code, 0)
    assert.equal((await request(server.url)).body, '[]')
    assert.deepEqual(
      server.lines.filter(({ level }) => level !== 'info'),
      [],
    )
  })

  it('--import runs before the app, once and in order, and not in the arbiter', async () => {
    await using server = await startServer({
      files: {
        'app.js': `export default (request, response) => response.end(JSON.stringify(globalThis.preloads))`,
        'first.js': `
import { appendFileSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
appendFileSync('loads', isMainThread ? 'main ' : 'thread ')
globalThis.preloads = ['first']
`,
        'second.js': `globalThis.preloads.push('second')`,
      },
      settings: { workers: 1 },
      flags: ['--import', './first.js', '--import', './second.js'],
    })
    assert.equal((await request(server.url)).body, '["first","second"]')
    assert.equal(readFileSync(`${server.directory.path}/loads`, 'utf8'), 'main ')
  })

  it('its own worker threads, child processes and forks do not load Punctual', async () => {
    await using server = await startServer({
      files: {
        'app.js': `
import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
export default async (request, response) => {
  const thread = new Worker('./child.js', { workerData: 1 })
  const forked = fork('./child.js', ['forked'])
  const [[fromThread], [fromFork]] = await Promise.all([once(thread, 'message'), once(forked, 'message')])
  const fromExec = JSON.parse(execFileSync(process.execPath, ['./child.js', 'print'], { encoding: 'utf8' }))
  response.end(JSON.stringify({ fromThread, fromFork, fromExec }))
}
`,
        'child.js': `
import { parentPort } from 'node:worker_threads'
const seen = { runtime: globalThis[Symbol.for('punctual.runtime')] !== undefined, flags: process.execArgv.filter((flag) => flag === '--no-warnings') }
if (parentPort) parentPort.postMessage(seen)
else if (process.send) process.send(seen, () => process.disconnect())
else console.log(JSON.stringify(seen))
`,
      },
      settings: { workers: 1 },
      nodeFlags: ['--no-warnings'],
    })
    const none = { runtime: false, flags: ['--no-warnings'] }
    const { status, body } = await request(server.url)
    assert.equal(status, 200, body)
    assert.deepEqual(JSON.parse(body), { fromThread: none, fromFork: none, fromExec: { ...none, flags: [] } })
  })

  it('its own fork can listen, and has a channel to the app only', async () => {
    await using server = await startServer({
      files: {
        'app.js': `
import { fork } from 'node:child_process'
import { once } from 'node:events'
const helper = fork('./helper.js')
const [port] = await once(helper, 'message')
process.on('exit', () => helper.kill())
export default async (request, response) => response.end(await (await fetch('http://127.0.0.1:' + port)).text())
`,
        'helper.js': `
import http from 'node:http'
const server = http.createServer((request, response) => response.end('from the helper'))
server.listen(0, '127.0.0.1', () => process.send(server.address().port))
process.on('disconnect', () => process.exit())
`,
      },
      settings: { workers: 2 },
    })
    assert.equal((await request(server.url)).body, 'from the helper')
    assert.equal((await server.stop()).code, 0)
  })
})
