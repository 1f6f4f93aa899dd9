import assert from 'node:assert/strict'
import { once } from 'node:events'
import net from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { startServer, type TestServer } from '../../process/support/server.ts'
import { within } from '../../process/support/until.ts'

const entry = join(import.meta.dirname, 'apps/pipelined.mjs')

const post = (path: string): string => `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`

/** The bodies and the `Connection` headers of responses that were sent one after another. */
function responsesIn(text: string): { bodies: string[]; connections: string[] } {
  const responses = text.split('HTTP/1.1 200 OK\r\n').slice(1)
  return {
    bodies: responses.map((response) => response.split('\r\n\r\n')[1] ?? ''),
    connections: responses.map((response) => /^connection: (.*)\r$/im.exec(response)?.[1] ?? ''),
  }
}

describe('requests that are pipelined while their worker begins to drain', () => {
  let server: TestServer
  before(async () => {
    server = await startServer({ entry, settings: { workers: 1, accessLog: 'all' } })
  })
  after(() => server.stop())

  async function pipelined(whileDraining: string): Promise<{ bodies: string[]; connections: string[] }> {
    const socket = net.connect(server.port, '127.0.0.1')
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    const closed = once(socket, 'close')
    const known = server.lines.length
    socket.write(post('/slow-1') + post('/2') + post('/slow-3'))
    await server.log((line) => server.lines.indexOf(line) >= known && line.msg === 'carried out /slow-3')
    assert.equal((await server.command('reload')).code, 0)
    await server.log((line) => server.lines.indexOf(line) >= known && line.msg === 'draining')
    socket.write(whileDraining)
    await within('the connection to be closed', closed)
    return responsesIn(text)
  }

  it('are all answered, and only the last response closes the connection', async () => {
    assert.deepEqual(await pipelined(''), {
      bodies: ['/slow-1', '/2', '/slow-3'],
      connections: ['keep-alive', 'keep-alive', 'close'],
    })
  })

  it('are carried out when they arrive later, if they can be answered', async () => {
    const { bodies, connections } = await pipelined(post('/4'))
    assert.deepEqual(bodies.slice(0, 3), ['/slow-1', '/2', '/slow-3'])
    assert.deepEqual(
      [connections.indexOf('close'), bodies.length - 1],
      [connections.length - 1, connections.length - 1],
    )
    // On a busy machine it may arrive after the last response has been sent.
    const wasCarriedOut = server.lines.some(({ msg }) => msg === 'carried out /4')
    assert.equal(bodies.includes('/4'), wasCarriedOut)
  })
})
