import { markdownTable } from '../figures.ts'
import { formatSpread } from '../ratio.ts'
import type { Contender } from './contenders.ts'
import type { HttpResult } from './http.ts'
import { MODES } from './load.ts'

const MODE_TITLES = { 'keep-alive': 'with keep-alive', close: 'without keep-alive' } as const
const APP_TITLES = { plain: 'Plain `node:http`', fastify: 'Fastify' } as const

/** Formats the result as Markdown, for the terminal and for docs/benchmarks.md. */
export function report(result: HttpResult, contenders: readonly Contender[]): string {
  const titles = new Map(contenders.map(({ name, title }) => [name, title]))
  const { machine, plan, noise } = result
  const rounds = plan.sessions * plan.rounds
  const parts = [
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.kernel}, Node ${machine.node}; ` +
      `${result.generator}, ${result.connections} connections; ${rounds} rounds in ${plan.sessions} sessions, ${plan.seconds} s each. ` +
      `${Object.entries(result.versions)
        .map(([name, version]) => `${name} ${version}`)
        .join(', ')}. ` +
      `Other processes used ${percent(noise.median)} of the machine (median; ${percent(noise.least)}–${percent(noise.most)}).`,
  ]
  for (const app of result.apps) {
    for (const mode of MODES) {
      const rows = result.standings
        .filter((standing) => standing.app === app && standing.mode === mode)
        .map((standing) => [
          titles.get(standing.contender) ?? standing.contender,
          formatSpread(standing.requestsRatio),
          formatSpread(standing.p99Ratio),
          formatSpread(standing.cpuRatio),
        ])
      parts.push(
        `### ${APP_TITLES[app]}, ${MODE_TITLES[mode]}`,
        markdownTable(['Server', 'Requests/s', 'p99 latency', 'CPU per request'], rows),
      )
    }
  }
  const memory = result.memory.map(({ app, contender, when, median, overBaseline }) => [
    `${titles.get(contender) ?? contender}`,
    app,
    when,
    `${mebibytes(median.rss)} (${signed(overBaseline.rss)})`,
    `${mebibytes(median.pss)} (${signed(overBaseline.pss)})`,
    `${mebibytes(median.uss)} (${signed(overBaseline.uss)})`,
  ])
  parts.push('### Memory of a worker process', markdownTable(['Server', 'App', 'When', 'RSS', 'PSS', 'USS'], memory))
  return parts.join('\n\n')
}

function mebibytes(value: number): string {
  return value.toFixed(1)
}

function signed(value: number): string {
  return `${value < 0 ? '−' : '+'}${mebibytes(Math.abs(value))}`
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`
}
