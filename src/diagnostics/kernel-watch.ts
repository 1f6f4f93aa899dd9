import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs'
import { basename } from 'node:path'
import { programName } from '../redaction/redaction.ts'
import { monotonicNow } from '../resilience/clock.ts'
import type { KernelEvidence } from './incident.ts'

/** The system calls that a JavaScript thread may block in, by architecture and number (Linux). */
const SYSCALLS: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  x64: {
    0: 'read', 1: 'write', 7: 'poll', 17: 'pread64', 18: 'pwrite64', 19: 'readv', 20: 'writev', 23: 'select', 35: 'nanosleep',
    42: 'connect', 44: 'sendto', 45: 'recvfrom', 46: 'sendmsg', 47: 'recvmsg', 61: 'wait4', 72: 'fcntl', 73: 'flock',
    74: 'fsync', 75: 'fdatasync', 82: 'rename', 87: 'unlink', 202: 'futex', 230: 'clock_nanosleep', 232: 'epoll_wait',
    247: 'waitid', 257: 'openat', 270: 'pselect6', 271: 'ppoll', 281: 'epoll_pwait', 441: 'epoll_pwait2',
  },
  arm64: {
    22: 'epoll_pwait', 25: 'fcntl', 32: 'flock', 35: 'unlinkat', 56: 'openat', 63: 'read', 64: 'write', 65: 'readv', 66: 'writev',
    67: 'pread64', 68: 'pwrite64', 72: 'pselect6', 73: 'ppoll', 82: 'fsync', 83: 'fdatasync', 95: 'waitid', 98: 'futex',
    101: 'nanosleep', 115: 'clock_nanosleep', 203: 'connect', 206: 'sendto', 207: 'recvfrom', 211: 'sendmsg', 212: 'recvmsg',
    260: 'wait4', 441: 'epoll_pwait2',
  },
} // biome-ignore format: a table

/** System calls whose first argument is a descriptor. */
const ON_DESCRIPTOR = new Set([
  'read',
  'write',
  'readv',
  'writev',
  'pread64',
  'pwrite64',
  'flock',
  'fsync',
  'fdatasync',
  'fcntl',
  'connect',
  'sendto',
  'recvfrom',
  'sendmsg',
  'recvmsg',
])

/** Which argument of a system call is a path; opening a pipe without a writer blocks too. */
const PATH_ARGUMENT: Readonly<Record<string, number>> = { openat: 1, unlinkat: 1, unlink: 0, rename: 0 }
const MAX_PATH_LENGTH = 256
/** The smallest memory page of any machine. */
const PAGE = 4_096

/** A thread that uses more than this share of a CPU is spinning. */
const SPINNING = 0.5
const MAX_CHILDREN = 5

interface Sample {
  readonly at: number
  readonly cpuMs: number
  /**
   * Time it waited for a CPU: on a busy machine a spinning thread gets only its share. The kernel
   * adds a wait when it ends.
   */
  readonly queuedMs: number
  /** How often it has begun to wait for anything else. */
  readonly sleeps: number
}

/**
 * Reads from another thread or process what the kernel reports about a main thread: whether it uses
 * CPU or waits, and what for. Without /proc (macOS) there is no evidence.
 */
export class KernelWatch {
  readonly #task: string
  readonly #process: string
  #first: Sample | null = null

  constructor(pid: number = process.pid) {
    this.#process = `/proc/${pid}`
    // On Linux the id of the main thread is that of its process.
    this.#task = `/proc/${pid}/task/${pid}`
  }

  /** Starts to measure the CPU time of the main thread, unless it is measured already. */
  begin(): void {
    this.#first ??= this.#sample()
  }

  /** Discards the measurement after a stall. */
  reset(): void {
    this.#first = null
  }

  /**
   * Call the result to exclude the time from now until that call from the measurement: the main
   * thread was paused, which says nothing about what it does by itself.
   */
  excludable(): () => void {
    const from = this.#sample()
    return () => {
      const to = this.#sample()
      const first = this.#first
      if (first === null || from === null || to === null) return
      this.#first = {
        at: first.at + to.at - from.at,
        cpuMs: first.cpuMs + to.cpuMs - from.cpuMs,
        queuedMs: first.queuedMs + to.queuedMs - from.queuedMs,
        sleeps: first.sleeps + to.sleeps - from.sleeps,
      }
    }
  }

  evidence(): KernelEvidence | null {
    if (process.platform !== 'linux') return null
    const first = this.#first
    const last = this.#sample()
    const wall = first === null || last === null ? 0 : last.at - first.at
    const share = (of: 'cpuMs' | 'queuedMs'): number =>
      first === null || last === null || wall <= 0 ? 0 : Math.min(1, (last[of] - first[of]) / wall)
    const cpuShare = share('cpuMs')
    const state = field(read(`${this.#task}/stat`), 0)
    const stopped = state === 'T' || state === 't'
    // Without a sleep it spins, even if it has not had its turn on a busy machine since the start.
    const isAwake = state === 'R' && first !== null && last?.sleeps === first.sleeps
    const busy = isAwake || cpuShare + share('queuedMs') > SPINNING
    const call = this.#syscall()
    return {
      doing: stopped ? 'stopped' : wall <= 0 ? 'unknown' : busy ? 'spinning' : 'waiting',
      cpuShare: Math.round(cpuShare * 100) / 100,
      wchan: word(read(`${this.#task}/wchan`)),
      syscall: call.name,
      target: call.target,
      children: this.#children(),
    }
  }

  #sample(): Sample | null {
    const sleeps = Number(/^voluntary_ctxt_switches:\s*(\d+)/m.exec(read(`${this.#task}/status`))?.[1])
    const text = read(`${this.#task}/schedstat`)
    // In nanoseconds. Kernels without it have ticks of 10 ms in `stat`.
    if (text !== '') {
      const [cpu, queued] = text.split(' ').map((nanoseconds) => Number(nanoseconds) / 1e6)
      return { at: monotonicNow(), cpuMs: cpu ?? 0, queuedMs: queued ?? 0, sleeps }
    }
    const stat = read(`${this.#task}/stat`)
    if (stat === '') return null
    return { at: monotonicNow(), cpuMs: (Number(field(stat, 11)) + Number(field(stat, 12))) * 10, queuedMs: 0, sleeps }
  }

  #syscall(): { name: string | null; target: string | null } {
    const [number, ...values] = read(`${this.#task}/syscall`).split(' ')
    if (number === undefined || !/^\d+$/.test(number)) return { name: null, target: null }
    const name = SYSCALLS[process.arch]?.[Number(number)] ?? `system call ${number}`
    try {
      return { name, target: this.#target(name, values) }
    } catch {
      return { name, target: null }
    }
  }

  /** The file or path that the call operates on. Throws if it cannot be read. */
  #target(name: string, values: readonly string[]): string | null {
    if (ON_DESCRIPTOR.has(name)) return readlinkSync(`${this.#process}/fd/${Number(values[0])}`)
    const pointer = values[PATH_ARGUMENT[name] ?? -1]
    return pointer === undefined ? null : this.#text(BigInt(pointer))
  }

  /** The string at an address of the process. Throws without permission to read its memory. */
  #text(address: bigint): string {
    const memory = openSync(`${this.#process}/mem`, 'r')
    try {
      const bytes = Buffer.alloc(MAX_PATH_LENGTH)
      // Up to the end of the page, then further only if needed: the next page may not be mapped.
      const here = Math.min(MAX_PATH_LENGTH, PAGE - Number(address % BigInt(PAGE)))
      readSync(memory, bytes, 0, here, address)
      if (!bytes.subarray(0, here).includes(0) && here < MAX_PATH_LENGTH) {
        readSync(memory, bytes, here, MAX_PATH_LENGTH - here, address + BigInt(here))
      }
      const end = bytes.indexOf(0)
      return bytes.toString('utf8', 0, end === -1 ? MAX_PATH_LENGTH : end)
    } finally {
      closeSync(memory)
    }
  }

  #children(): string[] {
    const found: string[] = []
    for (const task of list(`${this.#process}/task`)) {
      for (const pid of read(`${this.#process}/task/${task}/children`).split(' ')) {
        if (pid === '' || found.length >= MAX_CHILDREN) continue
        const [name = '', ...rest] = read(`/proc/${pid}/cmdline`).split('\0')
        if (name !== '') found.push(programName([program(pid, name), ...rest]))
      }
    }
    return found
  }
}

/**
 * The program of a process: as it was called, unless its parent gave it another `argv[0]`, which
 * may be anything.
 */
function program(pid: string, name: string): string {
  // The kernel keeps 15 characters of the name of the file that was executed.
  if (basename(name).slice(0, 15) === read(`/proc/${pid}/comm`)) return name
  try {
    return readlinkSync(`/proc/${pid}/exe`)
  } catch {
    return ''
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1').trim()
  } catch {
    return ''
  }
}

function list(path: string): string[] {
  try {
    return readdirSync(path)
  } catch {
    return []
  }
}

/** A field of /proc/…/stat, counted from the state; the name before it may contain anything. */
function field(stat: string, index: number): string | undefined {
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[index]
}

function word(text: string): string | null {
  return text === '' || text === '0' ? null : text
}
