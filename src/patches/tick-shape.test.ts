import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'

const MODULE = JSON.stringify(new URL('./tick-shape.ts', import.meta.url).href)
const PROGRAM = `
import { setImmediate as turn } from 'node:timers/promises'
const { keepTickShape } = await import(${MODULE})
keepTickShape()
const few = async () => { for (let count = 0; count < 20; count++) { process.nextTick(() => {}, 1); await turn() } }
const many = (count) => new Promise((resolve) => {
  const next = (left) => left === 0 ? resolve() : process.nextTick(next, left - 1)
  next(count)
})
await few()
if (process.argv[1] === 'collect') for (let round = 0; round < 2; round++) { gc(); await few() }
await many(200_000)
const from = process.cpuUsage()
await many(400_000)
const { user, system } = process.cpuUsage(from)
console.log(user + system)
`

/** CPU time of many ticks: the minimum of three processes. */
function ticks(...args: readonly string[]): number {
  const run = (): number =>
    Number(
      execFileSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', PROGRAM, '--', ...args], {
        encoding: 'utf8',
        timeout: 60_000,
      }),
    )
  return Math.min(run(), run(), run())
}

test('a full collection in a young process does not make its ticks slower', () => {
  const [calm, collected] = [ticks(), ticks('collect')]
  assert.ok(collected < calm * 3, `${collected} µs after a collection, ${calm} µs without`)
})
