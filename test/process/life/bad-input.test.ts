import assert from 'node:assert/strict'
import net, { type AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { type ServerOptions, startServer } from '../support/server.ts'
import { assertOneMessage, assertShows, runToEnd } from './ended-run.ts'

const APP = { 'app.js': 'export default (request, response) => response.end("ok")\n' }

interface Case extends Partial<ServerOptions> {
  readonly what: string
  readonly errorCode: string
  /** Names that the message must show: of flags, settings and files. */
  readonly names: readonly string[]
}

const CASES: readonly Case[] = [
  {
    what: 'an entry that does not exist',
    entry: 'sever.js',
    errorCode: 'PUNCTUAL_ENTRY_MISSING',
    names: ['sever.js'],
  },
  {
    what: 'an entry that is a directory',
    entry: 'node_modules',
    errorCode: 'PUNCTUAL_ENTRY_MISSING',
    names: ['node_modules'],
  },
  {
    what: 'an unknown flag suggests the nearest',
    flags: ['--stall-interupt-after', '1s'],
    errorCode: 'PUNCTUAL_USAGE',
    names: ['--stall-interupt-after', '--stall-interrupt-after'],
  },
  { what: 'no workers', settings: { workers: 0 }, errorCode: 'PUNCTUAL_SETTINGS_INVALID', names: ['--workers'] },
  {
    what: 'a timeout that is not a duration',
    settings: { stallInterruptAfter: 'NaN' },
    errorCode: 'PUNCTUAL_SETTINGS_INVALID',
    names: ['--stall-interrupt-after', '"NaN"'],
  },
  {
    what: 'a variable that names no setting suggests the nearest',
    env: { PUNCTUAL_STALL_INTERUPT_AFTER: '1s' },
    errorCode: 'PUNCTUAL_SETTINGS_INVALID',
    names: ['PUNCTUAL_STALL_INTERUPT_AFTER:', 'PUNCTUAL_STALL_INTERRUPT_AFTER?'],
  },
  {
    what: 'a timeout above the one it must be below',
    settings: { stallInterruptAfter: '20s' },
    errorCode: 'PUNCTUAL_SETTINGS_INVALID',
    names: ['stallInterruptAfter', '20s', '--stall-interrupt-after', 'stallKillAfter'],
  },
  {
    what: 'a broken config file',
    files: { ...APP, 'punctual.config.ts': 'export default { workers: ' },
    errorCode: 'PUNCTUAL_SETTINGS_INVALID',
    names: ['punctual.config.ts', 'SyntaxError'],
  },
  {
    what: 'a config file with an unknown key suggests the nearest',
    files: { ...APP, 'punctual.config.ts': 'export default { workerz: 2 }' },
    errorCode: 'PUNCTUAL_SETTINGS_INVALID',
    names: ['punctual.config.ts', 'workerz', 'workers?'],
  },
  {
    what: 'a state directory that is a file',
    settings: { stateDir: 'app.js' },
    errorCode: 'PUNCTUAL_STATE_DIR_UNWRITABLE',
    names: ['app.js', '--state-dir'],
  },
  {
    what: 'a state directory that cannot be created',
    settings: { stateDir: '/proc/punctual' },
    errorCode: 'PUNCTUAL_STATE_DIR_UNWRITABLE',
    names: ['/proc/punctual', '--state-dir'],
  },
  {
    what: 'an argument for the app without --',
    flags: ['stray'],
    errorCode: 'PUNCTUAL_USAGE',
    names: ['app.js -- stray'],
  },
]

describe('bad input ends with exit code 2, one message and no processes', { concurrency: 3 }, () => {
  for (const { what, errorCode, names, ...options } of CASES) {
    it(what, async () => {
      const run = await runToEnd({ files: APP, ...options, settings: { ...options.settings } })
      const { message } = run
      assert.equal(run.code, 2, run.server.output)
      assertOneMessage(message)
      assert.equal(run.errorCode, errorCode, message)
      assertShows(message, names)
      // An error about a rule suggests values that fit.
      assert.ok(message.split('\n').length <= 2, message)
    })
  }

  it('an admin port in use', async () => {
    const holder = net.createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => holder.once('listening', resolve))
    const { port } = holder.address() as AddressInfo
    try {
      const { code, message, errorCode, server } = await runToEnd({ files: APP, settings: { adminPort: port } })
      assert.equal(code, 2, server.output)
      assertOneMessage(message)
      assert.equal(errorCode, 'PUNCTUAL_ADMIN_PORT_TAKEN', message)
      assertShows(message, [`127.0.0.1:${port}`, '--admin-port'])
    } finally {
      holder.close()
    }
  })

  it('a second arbiter on the same state directory gets the pid of the first, which keeps running', async () => {
    await using first = await startServer({ files: APP, settings: { workers: 1 } })
    const second = await runToEnd({ files: APP, settings: { stateDir: first.stateDirectory } })
    assert.equal(second.code, 2, second.server.output)
    assertOneMessage(second.message)
    assert.equal(second.errorCode, 'PUNCTUAL_STATE_DIR_LOCKED', second.message)
    assertShows(second.message, [`pid ${first.pid}`, first.stateDirectory])
    assert.equal((await first.status()).ready, true)
  })
})
