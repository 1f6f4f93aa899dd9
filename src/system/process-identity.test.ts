import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { isProcessRunning, isSameProcessTable, startOf, thisProcess } from './process-identity.ts'

test('this process is running, and its identity stays', () => {
  const us = thisProcess()
  assert.equal(us.pid, process.pid)
  assert.deepEqual(thisProcess(), us)
  assert.ok(us.start !== null)
  assert.equal(isProcessRunning(us), true)
  assert.equal(isSameProcessTable(us, { ...us }), true)
  for (const other of [{ hostname: 'elsewhere' }, { bootId: 'before' }, { pidNamespace: 'pid:[1]' }]) {
    assert.equal(isSameProcessTable(us, { ...us, ...other }), false)
  }
})

test('a process with the same pid and another start is another process', () => {
  const { pid, start } = thisProcess()
  assert.equal(isProcessRunning({ pid, start: (start ?? 0) + 1 }), false)
  assert.equal(isProcessRunning({ pid, start: null }), true)
})

test('a process that has exited is not running', async () => {
  const child = spawn(process.execPath, ['-e', ''])
  const pid = child.pid as number
  await once(child, 'exit')
  assert.equal(isProcessRunning({ pid, start: null }), false)
  assert.equal(startOf(pid), null)
})

test('a zombie is not running', { skip: process.platform !== 'linux' }, async () => {
  // The shell becomes `sleep`, which does not wait for the child that the shell has started.
  const parent = spawn('sh', ['-c', 'sleep 0 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] })
  try {
    const [printed] = (await once(parent.stdout, 'data')) as [Buffer]
    const pid = Number(printed.toString())
    while (!readFileSync(`/proc/${pid}/stat`, 'latin1').includes(') Z ')) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    assert.equal(isProcessRunning({ pid, start: null }), false)
    assert.equal(startOf(pid), null)
  } finally {
    parent.kill('SIGKILL')
    await once(parent, 'exit')
  }
})
