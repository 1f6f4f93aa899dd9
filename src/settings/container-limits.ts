import { readFileSync } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'
import { join } from 'node:path'

/** Memory per worker below which `workers: auto` starts fewer. */
const MEMORY_PER_WORKER = 256 * 2 ** 20

/**
 * The value of `workers: auto`: as many as can run at once, and as many as the memory of the
 * machine or the container is enough for, at 256 MiB each. The parameters are for tests.
 */
export function autoWorkers(
  root = '/',
  cpus: number = availableParallelism(),
  memory: number = totalmem(),
): { readonly workers: number; readonly cpus: number; readonly memory: number } {
  const limit = Math.min(memory, memoryLimit(root))
  const parallelism = effectiveParallelism(root, cpus)
  const workers = Math.max(1, Math.min(parallelism, Math.floor(limit / MEMORY_PER_WORKER)))
  return { workers, cpus: parallelism, memory: limit }
}

/**
 * How many workers can run at once: the CPUs that this process may use, limited by the CPU quota of
 * its control group and of every group above it (Linux, cgroup v2 `cpu.max` and v1
 * `cpu.cfs_quota_us`), rounded down, at least 1. `root` and `cpus` are for tests.
 */
export function effectiveParallelism(root = '/', cpus: number = availableParallelism()): number {
  return Math.max(1, Math.floor(Math.min(cpus, ...cpuQuotas(root))))
}

/**
 * Bytes that the control group of this process, or any group above it, may use (Linux, cgroup v2
 * and v1); Infinity without a limit. `root` is for tests.
 */
export function memoryLimit(root = '/'): number {
  const own = read(join(root, 'proc/self/cgroup'))?.match(/^0::(\/.*)$/m)?.[1] ?? '/'
  const limits = [
    ...groupAndAncestors(own).map((group) => read(join(root, 'sys/fs/cgroup', group, 'memory.max'))),
    read(join(root, 'sys/fs/cgroup/memory/memory.limit_in_bytes')),
  ].map(Number)
  // Version 1 writes "no limit" as a number beyond any machine's memory.
  return Math.min(Number.POSITIVE_INFINITY, ...limits.filter((limit) => limit > 0 && limit < 2 ** 60))
}

function cpuQuotas(root: string): number[] {
  const groups = read(join(root, 'proc/self/cgroup')) ?? '0::/'
  return groups.split('\n').flatMap((line) => {
    // `hierarchy:controllers:path`; version 2 is hierarchy 0 without controllers.
    const [hierarchy, controllers, ...path] = line.split(':')
    const group = path.join(':')
    if (hierarchy === '0' && controllers === '') {
      return groupAndAncestors(group).map((each) => cpuQuotaOfVersion2(join(root, 'sys/fs/cgroup', each)))
    }
    if (controllers?.split(',').includes('cpu')) {
      return groupAndAncestors(group).flatMap((each) =>
        ['cpu', 'cpu,cpuacct'].map((mount) => cpuQuotaOfVersion1(join(root, 'sys/fs/cgroup', mount, each))),
      )
    }
    return []
  })
}

/**
 * `/a/b`, `/a` and `/` for `/a/b`. In a container the inner groups may not be mounted; then the
 * root is the container's own group.
 */
function groupAndAncestors(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '..')
  return Array.from({ length: parts.length + 1 }, (_, cut) => `/${parts.slice(0, parts.length - cut).join('/')}`)
}

function cpuQuotaOfVersion2(group: string): number {
  const [quota, period] = (read(join(group, 'cpu.max')) ?? 'max').split(/\s+/)
  return quota === 'max' ? Number.POSITIVE_INFINITY : ratio(quota, period)
}

function cpuQuotaOfVersion1(group: string): number {
  return ratio(read(join(group, 'cpu.cfs_quota_us')), read(join(group, 'cpu.cfs_period_us')))
}

/** Anything but two positive numbers (a quota of -1, a missing file) is no quota. */
function ratio(quota: string | undefined, period: string | undefined): number {
  const value = Number(quota) / Number(period)
  return value > 0 ? value : Number.POSITIVE_INFINITY
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch {
    return undefined
  }
}
