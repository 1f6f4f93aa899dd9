import assert from 'node:assert/strict'
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
    const name = `released-${server.lines.length}`
    const socket = net.connect(server.port, '127.0.0.1')
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk
    })
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.write(post(`/until/${name}/1`) + post('/2') + post(`/until/${name}/3`))
    await server.log((line) => line.msg === `carried out /until/${name}/3`)
    // The old worker is told to drain when the new one serves.
    assert.equal((await server.command('reload')).code, 0)
    await server.until('a worker to drain', ({ workers }) => workers.some(({ state }) => state === 'draining'))
    if (whileDraining !== '') {
      socket.write(whileDraining)
      await server.log(/^carried out \/4$/)
    }
    server.directory.write({ [name]: '' })
    await within('the connection to be closed', closed)
    const { bodies, connections } = responsesIn(text)
    return { bodies: bodies.map((body) => body.slice(-2)), connections }
  }

  it('are all answered, and only the last response closes the connection', async () => {
    assert.deepEqual(await pipelined(''), {
      bodies: ['/1', '/2', '/3'],
      connections: ['keep-alive', 'keep-alive', 'close'],
    })
  })

  it('include one that arrives while it drains, before the last response', async () => {
    assert.deepEqual(await pipelined(post('/4')), {
      bodies: ['/1', '/2', '/3', '/4'],
      connections: ['keep-alive', 'keep-alive', 'keep-alive', 'close'],
    })
  })
})

describe('a body that stalls', () => {
  const stalled = 'POST /stalled HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n12'

  it('does not take the response before it along', async () => {
    await using server = await startServer({ entry, settings: { workers: 1 } })
    const connect = (request: string): { socket: net.Socket; closed: Promise<string> } => {
      const socket = net.connect(server.port, '127.0.0.1')
      const chunks: string[] = []
      socket.setEncoding('utf8').on('data', (chunk: string) => void chunks.push(chunk))
      socket.write(request)
      return { socket, closed: new Promise((resolve) => socket.once('close', () => resolve(chunks.join('')))) }
    }
    const pipelined = connect(post('/until/released') + stalled)
    await server.log(/^carried out \/stalled$/)
    // It is charged from its first byte, so the other one is over its grace, too.
    const alone = connect(stalled)
    assert.match(await within('the upload to be ended', alone.closed), /^HTTP\/1\.1 408 /)
    server.directory.write({ released: '' })
    assert.match(
      await within('the second upload to be ended', pipelined.closed),
      /^HTTP\/1\.1 200 OK\r\n.*\/until\/released/s,
    )
  })
})
