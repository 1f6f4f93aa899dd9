import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { BenchOptions } from '../bench.ts'
import { writeFigures } from '../figures.ts'
import { installContenders, versionOf } from '../install.ts'
import type { Spread } from '../ratio.ts'
import { APPS, type AppName, BASELINE, COMPARED, contenders } from './contenders.ts'
import { CONNECTIONS, findGenerator } from './load.ts'
import { describeMachine, type Machine } from './machine.ts'
import { type Measured, measure, type Plan } from './measure.ts'
import { copyPackage } from './package-copy.ts'
import { report } from './report.ts'
import { type MemoryStanding, memoryStandings, noise, type Standing, standings } from './summary.ts'

const ROOT = join(import.meta.dirname, '../..')
const RESULT = join(import.meta.dirname, '../results/http.json')
/** Results of fewer rounds are not saved. */
const ROUNDS_TO_RECORD = 6
const ROUNDS_PER_SESSION = 6

export interface HttpResult {
  readonly bench: 'http'
  /** Start time in ISO 8601. */
  readonly at: string
  readonly machine: Machine
  readonly generator: string
  readonly connections: number
  readonly plan: Plan
  readonly versions: Readonly<Record<string, string>>
  readonly apps: readonly AppName[]
  readonly noise: Spread
  readonly standings: readonly Standing[]
  readonly memory: readonly MemoryStanding[]
}

/**
 * Measures requests per second, p99 and memory of an app under Punctual, bare `node:cluster`, PM2
 * and Watt. With `compare`, the other checkout is what they are paired with.
 */
export async function benchHttp({ rounds, seconds, only, app, compare }: BenchOptions): Promise<void> {
  if (process.platform !== 'linux') throw new Error('bench http requires Linux, because it reads /proc')
  installContenders()
  const directory = mkdtempSync(join(tmpdir(), 'punctual-bench-'))
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }))

  const punctuals = new Map([['Punctual', copyPackage(ROOT, join(directory, 'punctual'))]])
  if (compare !== undefined) {
    punctuals.set(COMPARED.title, copyPackage(resolve(compare), join(directory, 'compared')))
  }
  const all = contenders(punctuals)
  const baseline = compare === undefined ? BASELINE : COMPARED.name
  const chosen = only.length === 0 ? all : all.filter(({ name }) => name === baseline || only.includes(name))
  const unknown = only.filter((name) => !all.some((contender) => contender.name === name))
  if (unknown.length > 0) {
    throw new Error(`--only: unknown contender ${unknown.join(', ')}; use ${all.map(({ name }) => name).join(', ')}`)
  }
  const apps = APPS.filter((name) => app === undefined || name === app)
  if (apps.length === 0) throw new Error(`--app: unknown app "${app}"; use ${APPS.join(' or ')}`)

  const sessions = Math.ceil(rounds / ROUNDS_PER_SESSION)
  const plan: Plan = { sessions, rounds: Math.ceil(rounds / sessions), seconds }
  const generator = findGenerator(directory)
  const at = new Date().toISOString()
  const measured: Measured = { samples: [], memory: [] }
  for (const name of apps) {
    const { samples, memory } = await measure(name, chosen, baseline, generator, plan, directory)
    measured.samples.push(...samples)
    measured.memory.push(...memory)
  }
  const result: HttpResult = {
    bench: 'http',
    at,
    machine: describeMachine(),
    generator: generator.name,
    connections: CONNECTIONS,
    plan,
    versions: {
      Punctual: (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string }).version,
      PM2: versionOf('pm2'),
      Watt: versionOf('wattpm'),
      Fastify: versionOf('fastify'),
    },
    apps,
    noise: noise(measured),
    standings: standings(measured, baseline),
    memory: memoryStandings(measured, baseline),
  }
  const text = report(result, chosen)
  console.log(`${text}\n`)
  if (chosen.length < all.length || apps.length < APPS.length || compare !== undefined || rounds < ROUNDS_TO_RECORD) {
    console.log(`not saved: all servers and apps, no --compare and at least ${ROUNDS_TO_RECORD} rounds are required`)
    return
  }
  mkdirSync(join(RESULT, '..'), { recursive: true })
  writeFileSync(RESULT, `${JSON.stringify(result, null, 2)}\n`)
  writeFigures('http', text)
  console.log('written to bench/results/http.json and docs/benchmarks.md')
}
