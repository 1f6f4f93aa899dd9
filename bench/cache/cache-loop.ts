// Part of `bench -- cache`: node cache-loop.ts <hit|failing|slow> <contender> <seconds>
// Prints the CPU time per hit in nanoseconds, or the result of `herd` as JSON.
import { setTimeout as sleep } from 'node:timers/promises'
import { CONTENDERS } from './contenders.ts'

const [mode = '', name = '', seconds = '1'] = process.argv.slice(2)
const contender = CONTENDERS[name]
if (contender === undefined) throw new Error(`unknown contender "${name}"`)
const KEYS = 1_000
/** Hits between two reads of the clock. */
const BATCH = 1_000

if (mode === 'hit') await hits()
else await herd(mode === 'failing' ? 50 : 20)

/** Measures hits of a thousand keys, each awaited. */
async function hits(): Promise<void> {
  const get = await create(async (key) => ({ id: key, name: 'ann', roles: ['reader'] }), 0)
  const keys = Array.from({ length: KEYS }, (_, index) => `user:${index}`)
  for (const key of keys) await get(key)
  const measure = async (length: number): Promise<number> => {
    const end = performance.now() + length * 1_000
    const from = process.cpuUsage()
    let count = 0
    while (performance.now() < end) {
      for (let index = 0; index < BATCH; index++) await get(keys[index] as string)
      count += BATCH
    }
    const { user, system } = process.cpuUsage(from)
    return ((user + system) * 1_000) / count
  }
  // Warms up the compiler.
  await measure(0.5)
  console.log(await measure(Number(seconds)))
}

/**
 * Calls one key concurrently: with a load that fails after 20 ms, or with one that takes 500 ms and
 * a timeout of 20 ms.
 */
async function herd(callers: number): Promise<void> {
  let loads = 0
  const load = async (): Promise<unknown> => {
    loads++
    if (mode === 'slow') return sleep(500, 'a value')
    await sleep(20)
    throw new Error('the source is unavailable')
  }
  const get = await create(load, mode === 'slow' ? 20 : 0)
  const from = performance.now()
  await Promise.allSettled(Array.from({ length: callers }, () => get('one')))
  console.log(JSON.stringify({ loads, took: performance.now() - from }))
}

function create(load: (key: string) => Promise<unknown>, timeout: number): Promise<(key: string) => Promise<unknown>> {
  return (contender as NonNullable<typeof contender>).make(load, timeout)
}

process.exit()
