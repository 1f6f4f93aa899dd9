import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { autoWorkers, effectiveParallelism } from './container-limits.ts'

let root: string

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'punctual-cgroup-'))
})

afterEach(() => {
  rmSync(root, { recursive: true })
})

/** The files of the kernel, laid out as it lays them out. */
function kernel(files: Record<string, string>): void {
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
}

const MIB = 2 ** 20

describe('autoWorkers', () => {
  it('is the number of CPUs where memory is plenty', () => {
    assert.equal(autoWorkers(root, 8, 64 * 1024 * MIB).workers, 8)
  })

  it('minds the memory of the container: 512 MiB are enough for two workers', () => {
    kernel({ 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/memory.max': `${512 * MIB}\n` })
    assert.deepEqual(autoWorkers(root, 64, 256 * 1024 * MIB), { workers: 2, cpus: 64, memory: 512 * MIB })
  })

  it('minds the memory of the machine, and is at least 1', () => {
    assert.equal(autoWorkers(root, 64, 4 * 1024 * MIB).workers, 16)
    assert.equal(autoWorkers(root, 64, 128 * MIB).workers, 1)
  })
})

describe('effectiveParallelism', () => {
  it('without control groups it is the number of CPUs', () => {
    assert.equal(effectiveParallelism(root, 8), 8)
  })

  it('a quota of the container limits it, rounded down', () => {
    kernel({ 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/cpu.max': '250000 100000\n' })
    assert.equal(effectiveParallelism(root, 8), 2)
  })

  it('half a CPU gives one worker', () => {
    kernel({ 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/cpu.max': '50000 100000\n' })
    assert.equal(effectiveParallelism(root, 8), 1)
  })

  it('"max" is no quota', () => {
    kernel({ 'proc/self/cgroup': '0::/\n', 'sys/fs/cgroup/cpu.max': 'max 100000\n' })
    assert.equal(effectiveParallelism(root, 8), 8)
  })

  it('a quota of any parent group limits it too', () => {
    kernel({
      'proc/self/cgroup': '0::/system.slice/app.service\n',
      'sys/fs/cgroup/system.slice/cpu.max': '300000 100000',
      'sys/fs/cgroup/system.slice/app.service/cpu.max': '600000 100000',
    })
    assert.equal(effectiveParallelism(root, 8), 3)
  })

  it('cgroup v1 is supported, where -1 is no quota', () => {
    kernel({
      'proc/self/cgroup': '4:cpu,cpuacct:/docker/abc\n1:name=systemd:/\n',
      'sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us': '400000\n',
      'sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us': '100000\n',
      'sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1\n',
      'sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
    })
    assert.equal(effectiveParallelism(root, 8), 4)
  })

  it('on this machine it is at least one', () => {
    assert.ok(effectiveParallelism() >= 1)
  })
})
