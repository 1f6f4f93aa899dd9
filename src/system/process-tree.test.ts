import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { descendants, killAll } from './process-tree.ts'

test('children and grandchildren are found and killed', { skip: process.platform !== 'linux' }, async () => {
  const script = `require('node:child_process').spawn('sleep', ['60']).on('spawn', () => process.stdout.write('x')); setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] })
  await once(child.stdout, 'data')
  const mine = descendants(process.pid)
  const grandchildren = descendants(child.pid ?? 0)
  assert.ok(mine.includes(child.pid ?? 0))
  assert.equal(grandchildren.length, 1)
  assert.ok(mine.includes(grandchildren[0] ?? 0))

  const gone = once(child, 'exit')
  killAll([...grandchildren, child.pid ?? 0])
  await gone
  killAll(grandchildren)
  assert.deepEqual(descendants(child.pid ?? 0), [])
  assert.equal(existsSync(`/proc/${child.pid}/fd/0`), false)
})
