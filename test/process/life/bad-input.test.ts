import assert from 'node:assert/strict'
import net, { type AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { type ServerOptions, startServer } from '../support/server.ts'
import { assertOneMessage, runToEnd } from './ended-run.ts'

const APP = { 'app.js': 'export default (request, response) => response.end("ok")\n' }

const CASES: readonly (Partial<ServerOptions> & { readonly what: string; readonly says: RegExp })[] = [
  { what: 'an entry that does not exist', entry: 'sever.js', says: /sever\.js does not exist/ },
  { what: 'an entry that is a directory', entry: 'node_modules', says: /node_modules is no file/ },
  {
    what: 'an unknown flag suggests the nearest',
    flags: ['--stall-ct', '1s'],
    says: /unknown option '--stall-ct' \(Did you mean --stall-cut\?\)/,
  },
  { what: 'no workers', settings: { workers: 0 }, says: /--workers: "0" / },
  { what: 'a limit that is no duration', settings: { stallCut: 'NaN' }, says: /--stall-cut: "NaN" is not a duration/ },
  {
    what: 'a variable that names no setting suggests the nearest',
    env: { PUNCTUAL_STALL_CUTT: '1s' },
    says: /PUNCTUAL_STALL_CUTT: .*did you mean PUNCTUAL_STALL_CUT\?/,
  },
  {
    what: 'a limit above the one it must be below',
    settings: { stallCut: '20s' },
    says: /stallCut \(20s, --stall-cut\) must be less than stallKill/,
  },
  {
    what: 'a broken config file',
    files: { ...APP, 'punctual.config.ts': 'export default { workers: ' },
    says: /^punctual: punctual\.config\.ts: it cannot be loaded: SyntaxError/,
  },
  {
    what: 'a config file with an unknown key suggests the nearest',
    files: { ...APP, 'punctual.config.ts': 'export default { workerz: 2 }' },
    says: /punctual\.config\.ts: workerz: .*did you mean workers\?/,
  },
  {
    what: 'a file in the place of the state directory',
    settings: { stateDir: 'app.js' },
    says: /app\.js is in the way and is no directory/,
  },
  {
    what: 'a state directory that cannot be made',
    settings: { stateDir: '/proc/punctual' },
    says: /the state directory \/proc\/punctual cannot be used/,
  },
  { what: 'an argument for the app without --', flags: ['stray'], says: /"stray" comes after the entry/ },
]

describe('bad input ends with exit code 2, one message, and nothing left', { concurrency: 3 }, () => {
  for (const { what, says, ...options } of CASES) {
    it(what, async () => {
      const { code, message, server } = await runToEnd({ files: APP, ...options, settings: { ...options.settings } })
      assert.equal(code, 2, server.output)
      assertOneMessage(message)
      assert.match(message, says)
      // A rule between settings is followed by values that would fit.
      assert.ok(message.split('\n').length <= 2, message)
    })
  }

  it('an admin port that is taken', async () => {
    const holder = net.createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => holder.once('listening', resolve))
    const { port } = holder.address() as AddressInfo
    try {
      const { code, message, server } = await runToEnd({ files: APP, settings: { adminPort: port } })
      assert.equal(code, 2, server.output)
      assertOneMessage(message)
      assert.match(message, new RegExp(`the admin server cannot listen on 127\\.0\\.0\\.1:${port}: another process`))
    } finally {
      holder.close()
    }
  })

  it('a second arbiter on the same state directory is told the pid of the first, which goes on', async () => {
    await using first = await startServer({ files: APP, settings: { workers: 1 } })
    const second = await runToEnd({ files: APP, settings: { stateDir: first.stateDirectory } })
    assert.equal(second.code, 2, second.server.output)
    assertOneMessage(second.message)
    assert.match(second.message, new RegExp(`the arbiter with pid ${first.pid} runs on `))
    assert.equal((await first.status()).ready, true)
  })
})
