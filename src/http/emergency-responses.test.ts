import assert from 'node:assert/strict'
import { once } from 'node:events'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, test } from 'node:test'
import { ms } from '../resilience/duration.ts'
import { BEGUN, ConnectionTable, OPAQUE } from './connection-table.ts'
import { sendEmergencyResponses } from './emergency-responses.ts'
import { rawResponse } from './raw-response.ts'

const ANSWER = rawResponse('PUNCTUAL_WORKER_LOST')
const LIMIT = ms(2_000)

interface Pair {
  /** The server's end: nothing reads from it, as in a process whose main thread is blocked. */
  readonly descriptor: number
  readonly client: net.Socket
}

const open: net.Socket[] = []
const servers: net.Server[] = []

afterEach(() => {
  for (const socket of open.splice(0)) socket.destroy()
  for (const server of servers.splice(0)) server.close()
})

/** A real connection over loopback. */
async function connect(): Promise<Pair> {
  const server = net.createServer({ pauseOnConnect: true })
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1')
  client.on('error', () => {})
  const [socket] = (await once(server, 'connection')) as [net.Socket]
  socket.on('error', () => {})
  open.push(client, socket)
  const { fd } = (socket as net.Socket & { _handle: { fd: number } })._handle
  return { descriptor: fd, client }
}

/** Sends a request, and waits until the other side's kernel has received it. */
async function send(client: net.Socket, text: string): Promise<void> {
  const bytes = client.bytesWritten + Buffer.byteLength(text)
  await new Promise<void>((resolve) => client.write(text, () => resolve()))
  assert.equal(client.bytesWritten, bytes)
}

async function received(client: net.Socket): Promise<string> {
  const [chunk] = (await once(client, 'data')) as [Buffer]
  return chunk.toString()
}

test('a request in flight and an unread one get a complete 503', async () => {
  const table = new ConnectionTable()
  const [waiting, unread, idle] = [await connect(), await connect(), await connect()]
  table.begin(table.open(waiting.descriptor, 0, 0), 'GET', '/', 0)
  table.open(unread.descriptor, 0, 0)
  table.open(idle.descriptor, 0, 0)
  await send(unread.client, 'GET /late HTTP/1.1\r\nHost: x\r\n\r\n')
  const answers = Promise.all([received(waiting.client), received(unread.client)])
  const { tookMs, ...counts } = sendEmergencyResponses(table, ANSWER, LIMIT)
  assert.deepEqual(counts, { inFlight: 1, unread: 1, closed: 0 })
  assert.ok(tookMs <= LIMIT)
  for (const answer of await answers) {
    assert.match(answer, /^HTTP\/1\.1 503 /)
    assert.match(answer, /\r\nretry-after: \d+\r\n/i)
    assert.match(answer, /\r\nconnection: close\r\n/i)
    const [head = '', body = ''] = answer.split('\r\n\r\n')
    assert.equal(Number(/content-length: (\d+)/i.exec(head)?.[1]), Buffer.byteLength(body))
  }
  assert.equal(idle.client.bytesRead, 0, 'an idle client gets nothing')
})

test('unread bytes are discarded, so that the end of the process causes no reset', async () => {
  const table = new ConnectionTable()
  const { descriptor, client } = await connect()
  table.begin(table.open(descriptor, 0, 0), 'POST', '/', 0)
  await send(client, 'x'.repeat(100_000))
  const answer = received(client)
  const ended = once(client, 'close')
  assert.equal(sendEmergencyResponses(table, ANSWER, LIMIT).inFlight, 1)
  assert.match(await answer, /^HTTP\/1\.1 503 /)
  // As the kernel does when the process exits.
  for (const socket of open) if (socket !== client) socket.destroy()
  client.end()
  const [hadError] = await ended
  assert.equal(hadError, false)
})

test('HEAD gets no body, in flight or unread', async () => {
  const table = new ConnectionTable()
  const [waiting, unread] = [await connect(), await connect()]
  table.begin(table.open(waiting.descriptor, 0, 0), 'HEAD', '/', 0)
  table.open(unread.descriptor, 0, 0)
  await send(unread.client, 'HEAD / HTTP/1.1\r\nHost: x\r\n\r\n')
  const answers = Promise.all([received(waiting.client), received(unread.client)])
  sendEmergencyResponses(table, ANSWER, LIMIT)
  for (const answer of await answers) assert.equal(answer.split('\r\n\r\n')[1], '')
})

test('a started response, TLS and an unknown descriptor are counted as closed, and never written to', async () => {
  const table = new ConnectionTable()
  const [begun, opaque] = [await connect(), await connect()]
  table.begin(table.open(begun.descriptor, BEGUN, 0), 'GET', '/', 0)
  table.answering(0)
  table.open(opaque.descriptor, OPAQUE, 0)
  table.begin(table.open(-1, 0, 0), 'GET', '/', 0)
  const { inFlight, unread, closed } = sendEmergencyResponses(table, ANSWER, LIMIT)
  assert.deepEqual({ inFlight, unread, closed }, { inFlight: 0, unread: 0, closed: 3 })
  assert.deepEqual([begun.client.bytesRead, opaque.client.bytesRead], [0, 0])
})

test('a descriptor that was reused for a file is not written to', { skip: process.platform !== 'linux' }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-last-'))
  const path = join(directory, 'precious')
  const descriptor = openSync(path, 'w')
  try {
    const table = new ConnectionTable()
    table.begin(table.open(descriptor, 0, 0), 'GET', '/', 0)
    assert.equal(sendEmergencyResponses(table, ANSWER, LIMIT).closed, 1)
    assert.equal(readFileSync(path, 'utf8'), '')
  } finally {
    closeSync(descriptor)
    rmSync(directory, { recursive: true })
  }
})

test('after the timeout the rest is only counted', async () => {
  const table = new ConnectionTable()
  const { descriptor, client } = await connect()
  table.begin(table.open(descriptor, 0, 0), 'GET', '/', 0)
  const { inFlight, closed } = sendEmergencyResponses(table, ANSWER, ms(-1))
  assert.deepEqual({ inFlight, closed }, { inFlight: 0, closed: 1 })
  assert.equal(client.bytesRead, 0)
})

test('a client that does not read causes no delay, and counts as closed', async () => {
  const table = new ConnectionTable()
  const { descriptor, client } = await connect()
  client.pause()
  const slot = table.open(descriptor, 0, 0)
  table.begin(slot, 'GET', '/', 0)
  const heavy = { ...ANSWER, whole: Buffer.alloc(64 * 1024 * 1024) }
  assert.equal(sendEmergencyResponses(table, heavy, LIMIT).closed, 1)
})
