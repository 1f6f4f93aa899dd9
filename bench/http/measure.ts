import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AppName, Contender } from './contenders.ts'
import { type Generator, type Load, MODES, type Mode } from './load.ts'
import { cpuTimes, type Memory, memoryOf, othersShare } from './machine.ts'
import type { ServedApp } from './served-app.ts'

/** The JIT compiler needs about 100,000 requests to reach its final code. */
const WARM_UP_SECONDS = 4
/** Milliseconds after a start and after load before memory is read. */
const SETTLE = 3_000

export interface Sample extends Load {
  readonly app: AppName
  readonly contender: string
  readonly mode: Mode
  /** Index across all sessions. */
  readonly round: number
  /** The other contender of the pair; identifies the pair of a baseline sample. */
  readonly beside: string
  /** CPU time of all processes of the server per response. */
  readonly cpuMicroseconds: number
  /** Share of the machine that other processes used, from 0 to 1. */
  readonly others: number
}

/** Memory of one worker process. */
export interface MemorySample extends Memory {
  readonly app: AppName
  readonly contender: string
  readonly when: 'idle' | 'after load'
}

export interface Measured {
  readonly samples: Sample[]
  readonly memory: MemorySample[]
}

export interface Plan {
  readonly sessions: number
  /** Rounds per session. */
  readonly rounds: number
  readonly seconds: number
}

/**
 * Measures each contender in a pair with its own baseline, while no other contender runs.
 *
 * The two alternate every `seconds`, because the speed of a shared machine changes by tens of
 * percent within seconds, and the order alternates between rounds. Both receive equal load from
 * their start: of two identical servers, the one with more requests becomes faster (compiled code,
 * heap, caches). Each session restarts both, because one process can be faster than the next.
 */
export async function measure(
  app: AppName,
  contenders: readonly Contender[],
  baselineName: string,
  generator: Generator,
  plan: Plan,
  directory: string,
): Promise<Measured> {
  const measured: Measured = { samples: [], memory: [] }
  const baseline = contenders.find(({ name }) => name === baselineName)
  if (baseline === undefined) throw new Error(`the baseline ${baselineName} is missing`)
  const others = contenders.filter((one) => one !== baseline)
  for (let session = 0; session < plan.sessions; session++) {
    for (const other of rotate(others, session)) {
      await measurePair(baseline, other, session)
      process.stderr.write(`bench: ${app}, session ${session + 1} of ${plan.sessions}: ${other.title}\n`)
    }
  }
  return measured

  async function measurePair(bare: Contender, other: Contender, session: number): Promise<void> {
    const order = session % 2 === 0 ? [bare, other] : [other, bare]
    const running = await startAll(app, order, join(directory, `${app}-${session}-${other.name}`))
    const recordMemory = (when: MemorySample['when']): void => {
      for (const [contender, served] of running) {
        for (const pid of served.workers) {
          measured.memory.push({ app, contender: contender.name, when, ...memoryOf(pid) })
        }
      }
    }
    try {
      await sleep(SETTLE)
      recordMemory('idle')
      for (const mode of MODES) {
        for (const [, served] of running) await generator.run(served.url, mode, WARM_UP_SECONDS)
      }
      for (let round = 0; round < plan.rounds; round++) {
        for (const mode of MODES) {
          for (const [contender, served] of rotate(running, round)) {
            const taken = await sample(served, mode)
            const count = session * plan.rounds + round
            measured.samples.push({ app, contender: contender.name, beside: other.name, mode, round: count, ...taken })
          }
        }
      }
      await sleep(SETTLE)
      recordMemory('after load')
    } finally {
      for (const [, served] of running) await served.stop()
    }
  }

  async function sample(served: ServedApp, mode: Mode): Promise<Load & Pick<Sample, 'cpuMicroseconds' | 'others'>> {
    await served.check()
    const pids = served.processes
    const from = cpuTimes(pids)
    const load = await generator.run(served.url, mode, plan.seconds)
    const to = cpuTimes(pids)
    return {
      ...load,
      cpuMicroseconds: ((to.measured - from.measured) * 1_000) / load.requests,
      others: othersShare(from, to),
    }
  }
}

async function startAll(
  app: AppName,
  contenders: readonly Contender[],
  directory: string,
): Promise<(readonly [Contender, ServedApp])[]> {
  const running: (readonly [Contender, ServedApp])[] = []
  try {
    for (const contender of contenders) {
      const place = join(directory, contender.name)
      mkdirSync(place, { recursive: true })
      running.push([contender, await contender.start(app, place)])
    }
    return running
  } catch (error) {
    for (const [, served] of running) await served.stop()
    throw error
  }
}

function rotate<T>(list: readonly T[], by: number): readonly T[] {
  const at = by % list.length
  return [...list.slice(at), ...list.slice(0, at)]
}
