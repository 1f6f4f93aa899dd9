import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { KernelEvidence } from './incident.ts'
import { KernelWatch } from './kernel-watch.ts'

const LIMIT = 20_000
const children: ChildProcess[] = []

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

function node(code: string, env: NodeJS.ProcessEnv = {}): number {
  const child = spawn(process.execPath, ['-e', code], { stdio: 'ignore', env: { ...process.env, ...env } })
  children.push(child)
  return child.pid ?? 0
}

/** Measures again until the evidence is as expected: a process needs time to get there. */
async function seen(pid: number, wanted: (evidence: KernelEvidence) => boolean): Promise<KernelEvidence> {
  const end = performance.now() + LIMIT
  const watch = new KernelWatch(pid)
  let last: KernelEvidence | null = null
  while (performance.now() < end) {
    watch.begin()
    await sleep(100)
    last = watch.evidence()
    watch.reset()
    if (last !== null && wanted(last)) return last
  }
  throw new Error(`waited ${LIMIT} ms; last seen: ${JSON.stringify(last)}`)
}

describe('evidence from /proc shows', { skip: process.platform !== 'linux' }, () => {
  test('a spinning thread', async () => {
    const { cpuShare, children: below } = await seen(node('for (;;);'), ({ doing }) => doing === 'spinning')
    assert.ok(cpuShare > 0 && cpuShare <= 1)
    assert.deepEqual(below, [])
  })

  test('a thread that waits for a child, with its program and no arguments', async () => {
    const pid = node("require('node:child_process').spawnSync('sleep', ['60'], { argv0: 'secret' })")
    const evidence = await seen(pid, ({ doing, children: below }) => doing === 'waiting' && below.length > 0)
    assert.deepEqual(evidence.children, ['sleep'])
    assert.match(evidence.syscall ?? '', /^(epoll_p?wait2?|wait4)$/)
    assert.ok(evidence.cpuShare < 0.5)
    process.kill(Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')), 'SIGKILL')
  })

  test('a thread that reads or opens a pipe, with its path', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'punctual-kernel-'))
    try {
      const pipe = join(directory, 'a pipe')
      execFileSync('mkfifo', [pipe])
      const pid = node("require('node:fs').readFileSync(process.env.PIPE)", { PIPE: pipe })
      const opening = await seen(pid, ({ syscall, target }) => syscall === 'openat' && target === pipe)
      assert.match(opening.wchan ?? 'unknown', /wait|unknown/)
      const both = openSync(pipe, constants.O_RDWR)
      const reading = await seen(pid, ({ doing, syscall, target }) => {
        return doing === 'waiting' && syscall === 'read' && target === pipe
      })
      assert.ok(reading.cpuShare < 0.5)
      closeSync(both)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  test('a stopped process', async () => {
    const pid = node('for (;;);')
    await seen(pid, ({ doing }) => doing === 'spinning')
    process.kill(pid, 'SIGSTOP')
    assert.equal((await seen(pid, ({ doing }) => doing === 'stopped')).doing, 'stopped')
  })

  test('a spinning thread that has had no turn since the measurement began', async () => {
    const pid = node('for (;;);')
    await seen(pid, ({ doing }) => doing === 'spinning')
    const watch = new KernelWatch(pid)
    watch.begin()
    assert.equal(watch.evidence()?.doing, 'spinning')
  })

  test('a spinning thread, if the time for which it was paused is excluded', async () => {
    const pid = node('for (;;);')
    await seen(pid, ({ doing }) => doing === 'spinning')
    const watch = new KernelWatch(pid)
    watch.begin()
    await sleep(300)
    const excludePause = watch.excludable()
    process.kill(pid, 'SIGSTOP')
    await sleep(1_500)
    process.kill(pid, 'SIGCONT')
    excludePause()
    assert.equal(watch.evidence()?.doing, 'spinning')
  })

  test('nothing for a missing process', () => {
    const watch = new KernelWatch(2 ** 22 + 1)
    watch.begin()
    const { doing, syscall, wchan, target, children: below } = watch.evidence() ?? {}
    assert.deepEqual(
      { doing, syscall, wchan, target, below },
      {
        doing: 'unknown',
        syscall: null,
        wchan: null,
        target: null,
        below: [],
      },
    )
  })
})
