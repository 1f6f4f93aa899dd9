import { readdirSync, readFileSync } from 'node:fs'
import os from 'node:os'

/** Milliseconds per tick of /proc: a hundredth of a second on every Linux that Node.js supports. */
const TICK = 10

/** CPU times in milliseconds. */
export interface CpuTimes {
  /** Of the whole machine, including the time stolen by the hypervisor. */
  readonly machine: number
  /** Of the measured processes. */
  readonly measured: number
  /** Of children of this process that exited: the load generator. */
  readonly generators: number
  /** Monotonic time in milliseconds. */
  readonly at: number
}

/** @param pids all processes of the measured server */
export function cpuTimes(pids: readonly number[]): CpuTimes {
  const [, user, nice, system, , , irq, softirq, steal] = (readFileSync('/proc/stat', 'latin1').split('\n', 1)[0] ?? '')
    .split(/\s+/)
    .map(Number)
  const machine = [user, nice, system, irq, softirq, steal].reduce<number>((sum, ticks) => sum + (ticks ?? 0), 0) * TICK
  const measured = pids.reduce((sum, pid) => sum + cpuOf(pid), 0)
  return { machine, measured, generators: childrenCpu(), at: performance.now() }
}

/** Returns the share of the machine that other processes used, from 0 to 1. */
export function othersShare(from: CpuTimes, to: CpuTimes): number {
  const others = to.machine - from.machine - (to.measured - from.measured) - (to.generators - from.generators)
  return Math.max(0, others / ((to.at - from.at) * os.availableParallelism()))
}

/** Adds up the threads, which are counted in nanoseconds; /proc/<pid>/stat is rounded to ticks. */
function cpuOf(pid: number): number {
  let nanoseconds = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'latin1').split(' ')[0])
  }
  return nanoseconds / 1e6
}

function childrenCpu(): number {
  const fields = afterName(readFileSync('/proc/self/stat', 'latin1'))
  // cutime and cstime are fields 16 and 17. Field 2, the name, may contain spaces.
  return (Number(fields[13]) + Number(fields[14])) * TICK
}

function afterName(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')
}

/** Returns the process and all its descendants. */
export function processTree(root: number): number[] {
  const found = [root]
  for (const pid of found) {
    for (const thread of readdirSync(`/proc/${pid}/task`)) {
      const children = readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1')
      found.push(...children.split(' ').filter(Boolean).map(Number))
    }
  }
  return found
}

/** Memory of one process in MiB (2^20 bytes). */
export interface Memory {
  readonly rss: number
  /** RSS in which a page that n processes share counts as 1/n. */
  readonly pss: number
  /** Pages that are not shared. */
  readonly uss: number
}

export function memoryOf(pid: number): Memory {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1')
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(rollup)?.[1]) / 1024
  return { rss: field('Rss'), pss: field('Pss'), uss: field('Private_Clean') + field('Private_Dirty') }
}

export interface Machine {
  readonly cpu: string
  readonly cores: number
  readonly memoryGiB: number
  readonly kernel: string
  readonly node: string
}

export function describeMachine(): Machine {
  return {
    cpu: os.cpus()[0]?.model ?? 'unknown',
    cores: os.availableParallelism(),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    kernel: `${os.type()} ${os.release()}`,
    node: process.versions.node,
  }
}
