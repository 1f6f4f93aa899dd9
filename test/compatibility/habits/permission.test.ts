import assert from 'node:assert/strict'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { request } from '../../process/support/client.ts'
import { printedCode } from '../../process/support/printed-error.ts'
import { startServer, type TestServer } from '../../process/support/server.ts'
import { within } from '../../process/support/until.ts'

const REPOSITORY = join(import.meta.dirname, '../../..')
const APP = {
  'app.js': `
import http from 'node:http'
http.createServer((request, response) => {
  const end = Date.now() + (request.url === '/work' ? 3000 : 0)
  while (Date.now() < end);
  response.end('done')
}).listen(process.env.PORT)
`,
}
const NET = process.allowedNodeEnvironmentFlags.has('--allow-net') ? ['--allow-net'] : []
/** Without `/proc`, and without the inspector. */
const FILES = ['--allow-fs-read', '--allow-fs-write'].flatMap((flag) => [
  `${flag}=${tmpdir()}`,
  `${flag}=${REPOSITORY}`,
])
const ENOUGH = ['--permission', '--allow-child-process', '--allow-worker', ...NET, ...FILES]

describe('an app under node --permission', () => {
  let server: TestServer
  before(async () => {
    server = await startServer({
      files: APP,
      nodeFlags: ENOUGH,
      settings: { workers: 1, stallReportAfter: '500ms', stallInterruptAfter: '1s' },
    })
  })
  after(() => server[Symbol.asyncDispose]())

  it('says once that there are no stacks', () => {
    assert.equal(server.lines.filter(({ event }) => event === 'no-inspector').length, 1)
  })

  it('is served although it blocks, and the stall is reported without a stack', async () => {
    const { pid } = await server.worker()
    assert.equal((await request(`${server.url}/work`)).status, 200)
    const incident = await server.incident(
      'of the stall',
      ({ kind, outcome }) => kind === 'stall' && outcome === 'ended',
    )
    assert.equal(incident.notInterrupted, 'no-permission')
    assert.equal(incident.evidence[0]?.stack, null)
    assert.equal((await server.worker()).pid, pid)
    assert.doesNotMatch(server.output, /^\s+at /m)
  })

  for (const { without, missing } of [
    { without: '--allow-worker', missing: '--allow-worker' },
    { without: `--allow-fs-write=${tmpdir()}`, missing: '--allow-fs-write=' },
    { without: `--allow-fs-read=${REPOSITORY}`, missing: '--allow-fs-read=' },
  ]) {
    it(`is refused in one line that names ${missing} if that is missing`, async () => {
      await using refused = await startServer({
        files: APP,
        nodeFlags: ENOUGH.filter((flag) => flag !== without),
        ready: false,
      })
      assert.equal((await within('the arbiter to exit', refused.exit)).code, 2, refused.output)
      const messages = refused.lines.filter(({ msg }) => msg.startsWith('punctual: '))
      assert.equal(messages.length, 1, refused.output)
      assert.ok(messages[0]?.msg.includes(missing), refused.output)
      assert.equal(printedCode(messages[0]?.msg ?? ''), 'PUNCTUAL_PERMISSION_MISSING')
      assert.doesNotMatch(refused.output, /^\s+at /m)
    })
  }
})
