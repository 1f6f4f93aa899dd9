import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { resolveSettings } from '../settings/resolve.ts'
import { encodeWorkerConfig, readWorkerConfig, type WorkerConfig } from './worker-config.ts'

function createConfig(): WorkerConfig {
  const { settings } = resolveSettings({ flags: {}, env: {}, file: undefined, cwd: '/srv', isTerminal: false })
  assert.equal(settings.maxRequests, Number.POSITIVE_INFINITY)
  return {
    id: 1,
    accepts: 'at-once' as const,
    socketFiles: [],
    generation: 2,
    entry: '/srv/ä b.js',
    appArguments: ['--x', ''],
    appFlags: [],
    settings,
    set: { 'cache.users.ttl': '0ms' },
    chosen: ['port'],
  }
}

test('a worker config arrives unchanged, unbounded limits included', () => {
  const config = createConfig()
  const path = join(tmpdir(), `punctual-worker-config-${process.pid}`)
  writeFileSync(path, encodeWorkerConfig(config))
  const descriptor = openSync(path, 'r')
  try {
    assert.deepEqual(readWorkerConfig(descriptor), config)
    assert.throws(() => readWorkerConfig(descriptor), /closed the link/)
  } finally {
    closeSync(descriptor)
    rmSync(path)
  }
})

test('a worker config of any size is read from a link that has more behind it', async () => {
  const config = { ...createConfig(), set: { 'a.b': 'x'.repeat(2_000_000) } }
  const program = `
    import { readSync } from 'node:fs'
    import { readWorkerConfig } from ${JSON.stringify(import.meta.resolve('./worker-config.ts'))}
    const { set } = readWorkerConfig(3)
    const rest = Buffer.alloc(100)
    console.log(set['a.b'].length, rest.toString('utf8', 0, readSync(3, rest)))`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'inherit', 'pipe'],
  })
  const link = child.stdio[3] as NodeJS.WritableStream
  const bytes = encodeWorkerConfig(config)
  link.write(bytes.subarray(0, 2))
  link.write(bytes.subarray(2))
  link.write('rest')
  let printed = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    printed += chunk
  })
  await new Promise((resolve) => child.on('close', resolve))
  assert.equal(printed, '2000000 rest\n')
})
