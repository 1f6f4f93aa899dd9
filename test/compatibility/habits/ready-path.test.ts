import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { request, wordOf } from '../../process/support/client.ts'
import { type CommandResult, startServer, type TestServer } from '../../process/support/server.ts'

describe('an app that listens before it is initialised, with a ready path', () => {
  let server: TestServer

  before(async () => {
    server = await startServer({
      entry: join(import.meta.dirname, 'apps/late-init.mjs'),
      settings: { workers: 2, readyPath: '/ready?deep=yes' },
    })
  })

  after(() => server[Symbol.asyncDispose]())

  /** Runs a reload, and counts what clients get meanwhile. */
  async function reload(): Promise<{ result: CommandResult; answers: Set<string> }> {
    const answers = new Set<string>()
    let isOver = false
    const reloading = server.command('reload').finally(() => {
      isOver = true
    })
    while (!isOver) {
      answers.add(wordOf(await request(server.url)))
      await sleep(5)
    }
    return { result: await reloading, answers }
  }

  it('each worker is ready when it has answered with 2xx, and logs no request for that', async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => request(server.url)))
    assert.deepEqual(new Set(answers.map(wordOf)), new Set(['200']))
    assert.deepEqual(
      server.lines.filter(({ msg }) => msg.includes('GET /ready')),
      [],
    )
  })

  it('a release that is not initialised does not take over, and gets no request of a client', async () => {
    server.directory.write({ broken: '' })
    assert.equal((await server.command('set', 'bootTimeout', '8s')).code, 0)
    const { result, answers } = await reload()
    assert.equal(result.code, 1, result.stderr)
    assert.deepEqual(answers, new Set(['200']))
  })

  it('the next release that is initialised takes over without an error', async () => {
    rmSync(join(server.directory.path, 'broken'))
    assert.equal((await server.command('unset', 'bootTimeout')).code, 0)
    const before = (await server.status()).generation
    const { result, answers } = await reload()
    assert.equal(result.code, 0, result.stderr)
    assert.deepEqual(answers, new Set(['200']))
    assert.notEqual((await server.status()).generation, before)
  })
})

describe('an app that speaks only HTTP/2 and listens before it is initialised', () => {
  const prepare = (directory: string): void => {
    const files = ['-keyout', join(directory, 'key.pem'), '-out', join(directory, 'cert.pem')]
    const args = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/CN=localhost', ...files]
    execFileSync('openssl', args, { stdio: 'ignore' })
  }

  for (const protocol of ['h2', 'h2c'] as const) {
    it(`is ready when it has answered the ready path: ${protocol}`, async () => {
      const entry = join(import.meta.dirname, 'apps/late-init.mjs')
      const settings = { workers: 1, readyPath: '/ready', logFormat: 'json', accessLog: 'all' } as const
      await using server = await startServer({ entry, settings, env: { PROTOCOL: protocol }, prepare })
      await server.log(/asked with status 500/)
      await server.log(/asked with status 200/)
      assert.deepEqual(
        server.lines.filter(({ event }) => event === 'request'),
        [],
      )
    })
  }
})
