import { type Profiler, Session } from 'node:inspector'
import { fileURLToPath } from 'node:url'
import type { CostlyImport } from '../diagnostics/modules/boot-report.ts'
import { monotonicNow } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import type { Pulse } from './pulse.ts'

/** A boot that is over by then costs nothing. Most are. */
const SAMPLE_AFTER = 1_000
/** Microseconds between two samples: fine enough for what takes a tenth of a second, and too rare to slow anything down. */
const SAMPLE_EVERY = 10_000

/**
 * Finds out what a slow boot spends its time on: V8's sampling profiler is started from this thread when the boot has lasted for a second, and stopped when it is over.
 */
export class BootSampler {
  readonly #pulse: Pulse
  readonly #limit: Milliseconds
  readonly #onSlow: (bootMs: number, worst: readonly CostlyImport[]) => void
  readonly #startedAt = monotonicNow()
  #session: Session | null = null
  #over = false

  /**
   * @param limit a boot that takes no longer is nobody's business
   * @param onSlow told of a boot that did, when it is over
   */
  constructor(pulse: Pulse, limit: Milliseconds, onSlow: (bootMs: number, worst: readonly CostlyImport[]) => void) {
    this.#pulse = pulse
    this.#limit = limit
    this.#onSlow = onSlow
    this.#over = limit === Number.POSITIVE_INFINITY
  }

  look(): void {
    if (this.#over) return
    const lasted = monotonicNow() - this.#startedAt
    if (this.#pulse.booting) {
      if (this.#session === null && lasted >= Math.min(SAMPLE_AFTER, this.#limit / 2)) this.#sample()
      return
    }
    this.#over = true
    this.#stop(lasted)
  }

  #sample(): void {
    const session = new Session()
    session.connectToMainThread()
    session.post('Profiler.enable')
    session.post('Profiler.setSamplingInterval', { interval: SAMPLE_EVERY })
    session.post('Profiler.start')
    this.#session = session
  }

  #stop(lasted: number): void {
    const session = this.#session
    this.#session = null
    if (session === null) return
    session.post('Profiler.stop', (error: Error | null, answer?: Profiler.StopReturnType) => {
      if (lasted > this.#limit) {
        this.#onSlow(Math.round(lasted), error === null && answer !== undefined ? sampledImports(answer.profile) : [])
      }
      session.post('Profiler.disable', () => session.disconnect())
    })
  }
}

const MOST = 3
/** Below this a sample or two decide, and chance with them. Milliseconds. */
const LEAST = 50

/**
 * The imports in which a profile of a boot found most of the time. A module's own code is a function without a name that begins at its very start; what
 * is called from there counts as its cost, up to the next module's own code.
 */
export function sampledImports({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): readonly CostlyImport[] {
  const parents = new Map<number, Profiler.ProfileNode>()
  const byId = new Map(nodes.map((node) => [node.id, node]))
  for (const node of nodes) for (const child of node.children ?? []) parents.set(child, node)
  const moduleOf = (id: number): string | undefined => {
    for (let node = byId.get(id); node !== undefined; node = parents.get(node.id)) {
      if (isModuleCode(node.callFrame)) return pathOf(node.callFrame.url)
    }
    return undefined
  }

  const costs = new Map<string, number>()
  samples.forEach((id, index) => {
    const module = moduleOf(id)
    if (module !== undefined) costs.set(module, (costs.get(module) ?? 0) + (timeDeltas[index + 1] ?? 0) / 1_000)
  })
  return [...costs]
    .filter(([, cost]) => cost >= LEAST)
    .sort(([, a], [, b]) => b - a)
    .slice(0, MOST)
    .map(([module, cost]) => ({ module, selfMs: Math.round(cost) }))
}

function isModuleCode({ functionName, url, lineNumber, columnNumber }: Profiler.ProfileNode['callFrame']): boolean {
  return functionName === '' && lineNumber <= 0 && columnNumber <= 0 && /^(file:|\/)/.test(url)
}

function pathOf(url: string): string {
  return url.startsWith('file:') ? fileURLToPath(url) : url
}
