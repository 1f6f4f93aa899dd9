import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { isPrivateListen, overlap, replaceStaleSocket, type SocketAddress } from './socket-addresses.ts'

const IPV6_ONLY = 1

function at(address: string | null, port = 3000, flags = 0): SocketAddress {
  return { address, port, flags }
}

describe('overlap', () => {
  it('addresses exclude each other as in the kernel', () => {
    const excluding = [
      [at('127.0.0.1'), at('127.0.0.1')],
      [at('0.0.0.0'), at('127.0.0.1')],
      [at(null), at('127.0.0.1')],
      [at('::'), at('0.0.0.0')],
      [at('::'), at('::1')],
      [at('/run/app.sock', -1), at('/run/app.sock', -1)],
    ] as const
    for (const [one, other] of excluding) {
      assert.equal(overlap(one, other), true, `${one.address} ${other.address}`)
      assert.equal(overlap(other, one), true, `${other.address} ${one.address}`)
    }
  })

  it('addresses that have nothing in common do not', () => {
    const apart = [
      [at('127.0.0.1'), at('127.0.0.2')],
      [at('127.0.0.1', 1), at('127.0.0.1', 2)],
      [at('0.0.0.0'), at('::1')],
      [at('::', 3000, IPV6_ONLY), at('0.0.0.0')],
      [at('127.0.0.1', 0), at('127.0.0.1', 0)],
      [at('/run/a.sock', -1), at('/run/b.sock', -1)],
    ] as const
    for (const [one, other] of apart) assert.equal(overlap(one, other), false, `${one.address} ${other.address}`)
  })
})

it('a free port of the loopback address is private', () => {
  const isPrivate: readonly unknown[][] = [[0, '127.0.0.1'], ['0', 'localhost'], [{ port: 0, host: '::1' }]]
  const isNot: readonly unknown[][] = [
    [],
    [0],
    [3000, '127.0.0.1'],
    [0, '0.0.0.0'],
    [{ port: 0 }],
    ['/tmp/a.sock'],
    [null],
  ]
  for (const args of isPrivate) assert.equal(isPrivateListen(args), true, JSON.stringify(args))
  for (const args of isNot) assert.equal(isPrivateListen(args), false, JSON.stringify(args))
})

describe('replaceStaleSocket', () => {
  const replaced = (path: string): Promise<boolean> => new Promise((resolve) => replaceStaleSocket(path, resolve))

  it('leaves a socket on which a process listens, and a file that is no socket', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'punctual-socket-'))
    try {
      const path = join(directory, 'live.sock')
      const server = net.createServer().listen(path)
      assert.equal(await replaced(path), false)
      assert.equal(statSync(path).isSocket(), true)
      server.close()
      const file = join(directory, 'file')
      writeFileSync(file, 'text')
      await replaced(file)
      assert.equal(statSync(file).size, 4)
      assert.equal(await replaced('\0abstract'), false)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
