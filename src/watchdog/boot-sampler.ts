import { type Profiler, Session } from 'node:inspector'
import { fileURLToPath } from 'node:url'
import type { CostlyImport } from '../diagnostics/boot-report.ts'
import { monotonicNow } from '../resilience/clock.ts'
import type { Milliseconds } from '../resilience/duration.ts'
import type { Pulse } from './pulse.ts'

/** A boot that is shorter, as most are, is not sampled. Milliseconds. */
const SAMPLE_AFTER = 1_000
/**
 * Microseconds between two samples: fine enough for a tenth of a second, too rare to slow it down.
 */
const SAMPLE_INTERVAL = 10_000
/** Imports that are reported. */
const MAX_REPORTED = 3
/** An import that took less is not reported: it would rest on a sample or two. Milliseconds. */
const MIN_REPORTED = 50

/**
 * Finds the imports that make a boot slow: this thread starts V8's sampling profiler in the main
 * thread when the boot has lasted for a second, and stops it at the end of the boot.
 */
export class BootSampler {
  readonly #pulse: Pulse
  readonly #threshold: Milliseconds
  readonly #onSlow: (bootMs: number, worst: readonly CostlyImport[]) => void
  readonly #startedAt = monotonicNow()
  #session: Session | null = null
  #over: boolean

  /**
   * @param threshold a boot that takes longer is slow; unbounded switches sampling off
   * @param onSlow called at the end of a slow boot
   */
  constructor(pulse: Pulse, threshold: Milliseconds, onSlow: (bootMs: number, worst: readonly CostlyImport[]) => void) {
    this.#pulse = pulse
    this.#threshold = threshold
    this.#onSlow = onSlow
    this.#over = threshold === Number.POSITIVE_INFINITY || pulse.inspectorDenied
  }

  look(): void {
    if (this.#over) return
    if (this.#pulse.exiting) {
      this.#over = true
      this.#disconnect()
      return
    }
    const bootMs = monotonicNow() - this.#startedAt
    if (this.#pulse.booting) {
      if (this.#session === null && bootMs >= Math.min(SAMPLE_AFTER, this.#threshold / 2)) this.#start()
      return
    }
    this.#over = true
    this.#stop(bootMs)
  }

  #start(): void {
    const session = new Session()
    session.connectToMainThread()
    this.#pulse.addSessions(1)
    session.post('Profiler.enable')
    session.post('Profiler.setSamplingInterval', { interval: SAMPLE_INTERVAL })
    session.post('Profiler.start')
    this.#session = session
  }

  #stop(bootMs: number): void {
    const session = this.#session
    if (session === null) return
    session.post('Profiler.stop', (error: Error | null, answer?: Profiler.StopReturnType) => {
      if (bootMs > this.#threshold) {
        const worst = error === null && answer !== undefined ? sampledImports(answer.profile) : []
        this.#onSlow(Math.round(bootMs), worst)
      }
      session.post('Profiler.disable', () => this.#disconnect())
    })
  }

  #disconnect(): void {
    if (this.#session === null) return
    this.#session.disconnect()
    this.#session = null
    this.#pulse.addSessions(-1)
  }
}

/**
 * The imports that took most of the time in a profile. A module's own code is a function without a
 * name that begins at its very start; its cost includes what it calls, up to the next module's own
 * code.
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
    .filter(([, cost]) => cost >= MIN_REPORTED)
    .sort(([, a], [, b]) => b - a)
    .slice(0, MAX_REPORTED)
    .map(([module, cost]) => ({ module, selfMs: Math.round(cost) }))
}

function isModuleCode({ functionName, url, lineNumber, columnNumber }: Profiler.ProfileNode['callFrame']): boolean {
  return functionName === '' && lineNumber <= 0 && columnNumber <= 0 && /^(file:|\/)/.test(url)
}

function pathOf(url: string): string {
  return url.startsWith('file:') ? fileURLToPath(url) : url
}
