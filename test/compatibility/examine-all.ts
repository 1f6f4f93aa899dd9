// Started by run.ts, on the version of Node that the servers are examined on.
import { parseArgs } from 'node:util'
import { SERVERS } from './servers.ts'
import { startBackends } from './support/backends.ts'
import { CHECKS, type Examination, examine } from './support/examine.ts'
import { record } from './support/results.ts'

const { values, positionals } = parseArgs({
  options: { write: { type: 'boolean', default: false }, 'at-once': { type: 'string', default: '2' } },
  allowPositionals: true,
})
/** The servers are pinned to versions that run on it. */
const isReference = process.versions.node.startsWith('24.')
const chosen = SERVERS.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
await using backends = await startBackends(chosen.flatMap((server) => server.backends ?? []))
const waiting = [...chosen]
const done: Examination[] = []
await Promise.all(
  Array.from({ length: Number(values['at-once']) }, async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const examination = await examine(next, backends.urls)
      done.push(examination)
      if (values.write) record([examination])
      print(examination)
    }
  }),
)
const failed = done.filter(isBad)
// Its authors do not support this version.
const unsupported = done.filter(({ unusable }) => unusable?.where === 'node' && !isReference)
const listed = (what: string, examinations: readonly Examination[]): string =>
  examinations.length === 0 ? '' : `; ${what}: ${examinations.map(({ name }) => name).join(', ')}`
console.log(
  `${done.length - failed.length - unsupported.length} of ${done.length} are right on Node ${process.versions.node}${listed('not', failed)}${listed('wrong under plain node', unsupported)}`,
)
process.exitCode = failed.length > 0 ? 1 : 0

function isBad({ unusable, checks }: Examination): boolean {
  if (unusable !== undefined) return unusable.where === 'install' || isReference
  return Object.values(checks).some((result) => typeof result === 'object')
}

function print(examination: Examination): void {
  const { name, unusable, checks, requests, seconds, installSeconds } = examination
  const words = CHECKS.map((check) => {
    const result = checks[check]
    return `${check} ${typeof result === 'object' ? 'FAIL' : (result ?? '-')}`
  })
  console.log(
    `${isBad(examination) ? 'FAIL' : 'ok  '} ${name.padEnd(24)} ${seconds} s (install ${installSeconds} s), ${requests} requests: ${words.join(', ')}`,
  )
  if (unusable !== undefined) console.log(indent(`${unusable.where}: ${unusable.why}`))
  for (const check of CHECKS) {
    const result = checks[check]
    if (typeof result === 'object') console.log(indent(`${check}: ${result.fault}`))
  }
}

function indent(text: string): string {
  return `     ${text.trimEnd().replaceAll('\n', '\n     ')}`
}
