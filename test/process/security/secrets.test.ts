import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import http from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { ReleaseApp } from '../release/release-app.ts'
import { request } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { PLACES, planted, plantingFiles } from './planting-app.ts'

/** What Punctual wrote or served, by where it was found. */
const seen = new Map<string, string>()
let server: TestServer
let upstream: http.Server
let adminUrl: string

before(async () => {
  // Answers nothing: every call waits until the request times out.
  upstream = http.createServer(() => {})
  const upstreamPort = await freePort()
  await new Promise<void>((resolve) => upstream.listen(upstreamPort, '127.0.0.1', resolve))
  server = await startServer({
    files: plantingFiles(),
    settings: {
      workers: 1,
      requestTimeout: '2s',
      stallReportAfter: '200ms',
      stallInterruptAfter: '700ms',
      stallKillAfter: '1500ms',
      restartDelayMin: '50ms',
      restartDelayMax: '50ms',
      crashLimit: 1000,
      accessLog: 'all',
      serverTiming: 'on',
    },
    env: {
      UPSTREAM: `http://127.0.0.1:${upstreamPort}`,
      DATABASE_URL: `postgres://bob:${planted(18)}@127.0.0.1:1/app?password=${planted(18)}`,
      GUNICORN_CMD_ARGS: `--token ${planted(36)}`,
    },
  })
  adminUrl = server.admin
})

after(async () => {
  upstream.closeAllConnections()
  upstream.close()
  await server?.[Symbol.asyncDispose]()
})

const HEADERS = { authorization: `Bearer ${planted(19)}`, cookie: `session=${planted(20)}` }

/** Sends a request and waits until it has ended, however that is. */
async function send(path: string): Promise<void> {
  const { headers, body } = await request(`${server.url}${path}`, {
    method: 'POST',
    headers: HEADERS,
    body: `{"password":"${planted(21)}"}`,
    limit: 30_000,
  })
  seen.set(`the response to ${path.replace(/\?.*/, '')}`, JSON.stringify({ headers, body }))
}

/** Stalls the worker until it is replaced, beside other requests. */
async function stall(path: string): Promise<void> {
  const before = (await server.incidents()).length
  const { generation: _, workers } = await server.status()
  const pid = workers.find(({ state }) => state === 'ready')?.pid
  const beside = [send(`/wait?api_key=${planted(4)}`), sendAbsolute()]
  await send(path)
  await server.incident(`of ${path}`, () => true)
  await server.until('another worker', ({ workers: now, ready }) => {
    return ready && now.some((worker) => worker.state === 'ready' && worker.pid !== pid)
  })
  await Promise.all(beside)
  assert.ok((await server.incidents()).length > before)
}

/** A request with a target in absolute form, as a proxy sends it. */
function sendAbsolute(): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(server.port, '127.0.0.1', () => {
      socket.write(`GET http://bob:${planted(5)}@app.example.com/wait?x=${planted(5)} HTTP/1.1\r\nhost: app\r\n\r\n`)
    })
    socket.on('error', () => {}).on('close', () => resolve())
    socket.resume()
  })
}

async function collectCommands(): Promise<void> {
  const incidents = await server.incidents()
  const commands = [
    ['status'],
    ['status', '--json'],
    ['config'],
    ['config', '--json'],
    ['incidents'],
    ['incidents', '--json'],
    ['deferred'],
    ['deferred', '--json'],
    ['deferred', 'mails'],
    ['deferred', 'mails', '--json'],
    ['explain'],
    ['explain', '--json'],
    ['release', '--history'],
    ['release', '--history', '--json'],
    ...incidents.slice(-2).flatMap(({ id }) => [
      ['incidents', id],
      ['incidents', id, '--json'],
    ]),
  ]
  const run = async (): Promise<void> => {
    for (let words = commands.pop(); words !== undefined; words = commands.pop()) {
      const { stdout, stderr } = await server.command(...words)
      seen.set(`punctual ${words.join(' ')}`, stdout + stderr)
    }
  }
  await Promise.all([run(), run(), run()])
}

async function collectAdmin(when: string): Promise<void> {
  for (const path of ['/', '/status', '/metrics', '/incidents', '/livez', '/readyz']) {
    seen.set(`${path} (${when})`, (await request(`${adminUrl}${path}`)).body)
  }
  for (const incident of await server.incidents()) seen.set(`/incidents/${incident.id}`, JSON.stringify(incident))
}

/** Command lines, with what is encoded in them. */
function collectProcesses(when: string): void {
  for (const pid of server.processes()) {
    let words: string[]
    try {
      words = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0')
    } catch {
      continue // It has exited.
    }
    // The app's own children have the arguments that the app gave them.
    if (!words.some((word) => word.includes('punctual') || word.includes('/worker/') || word.includes('pg_dump')))
      continue
    const decoded = words
      .filter((word) => word.length > 40)
      .map((word) => Buffer.from(word, 'base64url').toString('latin1'))
    seen.set(`/proc/${pid}/cmdline (${when})`, [...words, ...decoded].join(' '))
  }
}

/** Items of queues and values of `punctual set` have to be stored; only our user can read them. */
const STORES = /^(set\.json|spool\/)/

function collectFiles(): void {
  for (const name of readdirSync(server.stateDirectory, { recursive: true, encoding: 'utf8' })) {
    const path = join(server.stateDirectory, name)
    const found = statSync(path)
    if (!found.isFile()) continue
    const text = readFileSync(path, 'latin1')
    if (!STORES.test(name)) seen.set(`state/${name}`, text)
    else assert.equal(found.mode & 0o077, 0, name)
  }
}

/** Without what Node itself prints when the app throws, as it does without Punctual. */
function withoutCrashes(output: string): string {
  return output.replaceAll(/^[^\n]*app\.mjs:\d+\n[\s\S]*?^Node\.js v[^\n]*/gm, '')
}

function findings(): string[] {
  const found: string[] = []
  for (const number of Object.keys(PLACES).map(Number)) {
    const secret = planted(number)
    const where = [...seen].filter(([, text]) => text.includes(secret)).map(([place]) => place)
    if (where.length > 0)
      found.push(`${number}: ${PLACES[number]}, in ${where.slice(0, 6).join(', ')} (${where.length})`)
  }
  return found
}

test('none of the secrets planted in an app is in anything that Punctual writes or serves', async () => {
  await Promise.all(
    ['/fetch', '/webhook', '/proxy', '/exec', '/named', '/destroy', '/queries', '/queue', '/reports'].map((path) =>
      send(`${path}?token=${planted(3)}`),
    ),
  )
  for (const words of [
    ['set', 'mail.apiKey', planted(23)],
    ['set', 'mail.line', planted(24), '--json'],
    ['set', 'mail.apiKey', `bad ${planted(25)}`],
    ['set', 'mail.line', `bad ${planted(25)}`, '--json'],
  ]) {
    const { stdout, stderr } = await server.command(...words)
    seen.set(`punctual ${words.slice(0, 2).join(' ')} …`, stdout + stderr)
  }
  await server.until('the dead letter', ({ workers }) => JSON.stringify(workers).includes('mails'))
  await collectAdmin('before the stalls')
  collectProcesses('before the stalls')
  for (const path of ['/spin', '/spin-data', '/child', '/shell', '/crash']) await stall(`${path}?token=${planted(3)}`)
  await collectAdmin('after the stalls')
  collectProcesses('after the stalls')

  server.directory.write({ broken: '' })
  const { code, stdout, stderr } = await server.command('reload')
  seen.set('punctual reload', stdout + stderr)
  assert.notEqual(code, 0)
  await collectCommands()
  await collectAdmin('after the failed reload')
  const unset = await server.command('unset', '--all')
  seen.set('punctual unset', unset.stdout + unset.stderr)
  await server.stop()
  seen.set('the log', withoutCrashes(server.output))
  collectFiles()

  const found = findings()
  assert.deepEqual(found, [], `${found.length} of ${Object.keys(PLACES).length} secrets found`)
})

test('the records and the output of a release step that fails have none of its secrets', async () => {
  const step = `{ name: 'a', run: "echo 'postgres://bob:PLANTED-output@db'; echo password=PLANTED-error >&2; exit 3" }`
  await using app = new ReleaseApp(
    `export default { release: [${step}], releaseLock: 'file:releases', releaseVersion: 'v1' }`,
  )
  const failed = await app.release()
  assert.notEqual(failed.code, 0)
  const history = await app.release('--history')
  for (const { stdout, stderr } of [failed, history]) assert.doesNotMatch(stdout + stderr, /PLANTED/)
  const names = readdirSync(app.directory.path, { recursive: true, encoding: 'utf8' })
  const written = names.filter((name) => !/^(?:node_modules|punctual\.config)/.test(name))
  const files = written.map((name) => join(app.directory.path, name)).filter((path) => statSync(path).isFile())
  assert.ok(
    files.some((path) => readFileSync(path, 'latin1').includes('"failed"')),
    files.join(', '),
  )
  for (const path of files) assert.doesNotMatch(readFileSync(path, 'latin1'), /PLANTED/, path)
})
