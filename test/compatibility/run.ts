// Runs real servers under `node` and under `punctual run`, and compares: `npm run compatibility`,
// or `npm run compatibility -- express next-start` for some. `--write` records the results and
// writes the table of docs/guides/compatibility.md; `--at-once=3` changes how many run at the same
// time.
import { parseArgs } from 'node:util'
import { SERVERS } from './servers.ts'
import { startBackends } from './support/backends.ts'
import { CHECKS, type Examination, examine } from './support/examine.ts'
import { record } from './support/results.ts'

const { values, positionals } = parseArgs({
  options: { write: { type: 'boolean', default: false }, 'at-once': { type: 'string', default: '2' } },
  allowPositionals: true,
})
const unknown = positionals.filter((name) => !SERVERS.some((server) => server.name === name))
if (unknown.length > 0) {
  console.error(`no such server: ${unknown.join(', ')}; there are ${SERVERS.map(({ name }) => name).join(', ')}`)
  process.exit(2)
}
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
console.log(
  `${done.length - failed.length} of ${done.length} are right${failed.length > 0 ? `; not: ${failed.map(({ name }) => name).join(', ')}` : ''}`,
)
process.exitCode = failed.length > 0 ? 1 : 0

function isBad({ unusable, checks }: Examination): boolean {
  return unusable !== undefined || Object.values(checks).some((result) => typeof result === 'object')
}

function print(examination: Examination): void {
  const { name, unusable, checks, requests, seconds } = examination
  const words = CHECKS.map((check) => {
    const result = checks[check]
    return `${check} ${typeof result === 'object' ? 'FAIL' : (result ?? '-')}`
  })
  console.log(
    `${isBad(examination) ? 'FAIL' : 'ok  '} ${name.padEnd(24)} ${seconds} s, ${requests} requests: ${words.join(', ')}`,
  )
  if (unusable !== undefined) console.log(indent(unusable))
  for (const check of CHECKS) {
    const result = checks[check]
    if (typeof result === 'object') console.log(indent(`${check}: ${result.fault}`))
  }
}

function indent(text: string): string {
  return `     ${text.trimEnd().replaceAll('\n', '\n     ')}`
}
