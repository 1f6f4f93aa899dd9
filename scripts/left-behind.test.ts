import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { describe, it } from 'node:test'
import { processesWith } from './left-behind.ts'

describe('processesWith', () => {
  it('a grandchild is found by its environment until it exits', {
    skip: !existsSync('/proc/self/environ'),
  }, async () => {
    const marker = `LEFT_BEHIND_TEST=${randomUUID()}`
    const [name = '', value = ''] = marker.split('=')
    assert.deepEqual(processesWith(marker), [])
    // The shell says when it runs, and ends when its input does.
    const child = spawn('sh', ['-c', 'sh -c "echo here; cat"; :'], {
      env: { ...process.env, [name]: value },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    const found = processesWith(marker)
    assert.ok(found.length >= 2, JSON.stringify(found))
    assert.ok(found.some(({ pid }) => pid === child.pid))
    child.stdin.end()
    await once(child, 'close')
    assert.deepEqual(processesWith(marker), [])
  })
})
