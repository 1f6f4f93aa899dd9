import type { Profiler } from 'node:inspector'
import { fileURLToPath } from 'node:url'
import type { CostlyImport } from '../diagnostics/modules/boot-report.ts'

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
