import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'

/**
 * How many workers can run at once: the CPUs this process may be scheduled on, bounded by the CPU quota of its control group
 * and of every group above it (Linux, cgroup v2 `cpu.max` and v1 `cpu.cfs_quota_us`), rounded down, at least 1.
 * `root` and `cpus` are for tests.
 */
export function effectiveParallelism(root = '/', cpus: number = availableParallelism()): number {
  return Math.max(1, Math.floor(Math.min(cpus, ...quotas(root))))
}

function quotas(root: string): number[] {
  const groups = read(join(root, 'proc/self/cgroup')) ?? '0::/'
  return groups.split('\n').flatMap((line) => {
    // `hierarchy:controllers:path`; version 2 is hierarchy 0 without controllers.
    const [hierarchy, controllers, ...path] = line.split(':')
    const group = path.join(':')
    if (hierarchy === '0' && controllers === '') {
      return ancestors(group).map((each) => quotaOfVersion2(join(root, 'sys/fs/cgroup', each)))
    }
    if (controllers?.split(',').includes('cpu')) {
      return ancestors(group).flatMap((each) =>
        ['cpu', 'cpu,cpuacct'].map((mount) => quotaOfVersion1(join(root, 'sys/fs/cgroup', mount, each))),
      )
    }
    return []
  })
}

/** `/a/b` is `/a/b`, `/a`, `/`. In a container the inner ones may not be mounted; then the root is the container's own group. */
function ancestors(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '..')
  return Array.from({ length: parts.length + 1 }, (_, cut) => `/${parts.slice(0, parts.length - cut).join('/')}`)
}

function quotaOfVersion2(group: string): number {
  const [quota, period] = (read(join(group, 'cpu.max')) ?? 'max').trim().split(/\s+/)
  return quota === 'max' ? Number.POSITIVE_INFINITY : ratio(quota, period)
}

function quotaOfVersion1(group: string): number {
  return ratio(read(join(group, 'cpu.cfs_quota_us')), read(join(group, 'cpu.cfs_period_us')))
}

/** Anything but two positive numbers (a quota of -1, a file that is missing) is no quota. */
function ratio(quota: string | undefined, period: string | undefined): number {
  const value = Number(quota) / Number(period)
  return value > 0 ? value : Number.POSITIVE_INFINITY
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
