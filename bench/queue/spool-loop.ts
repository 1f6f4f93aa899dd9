// Measures the spool: node spool-loop.ts [process|disk] [seconds]
// Appends events of 200 bytes and settles them in batches of 500, like a queue.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { thisOwner } from '../../src/queue/spool/owner.ts'
import type { Place } from '../../src/queue/spool/segment.ts'
import { Spool } from '../../src/queue/spool/spool.ts'
import { splitUlid } from '../../src/queue/ulid.ts'
import { monotonicNow } from '../../src/resilience/clock.ts'
import { ms } from '../../src/resilience/duration.ts'

const [durability = 'process', seconds = '3'] = process.argv.slice(2)
const EVENT = JSON.stringify({ kind: 'login', user: 4711, address: '192.0.2.17', agent: 'x'.repeat(200) }).slice(0, 198)
const BATCH = 500
/** Items between two turns of the event loop. */
const BURST = 1_000
const MAX_SAMPLES = 5_000_000

const directory = mkdtempSync(join(tmpdir(), 'punctual-spool-'))
let degraded = 0
const spool = new Spool({
  directory,
  queue: 'bench',
  owner: thisOwner(),
  durability: durability === 'disk' ? 'disk' : 'process',
  syncEvery: ms(10),
  maxBytes: 64 * 1024 * 1024,
})
spool.on('state', ({ state }) => {
  if (state === 'degraded') degraded++
})

async function measure(length: number, samples: Float64Array | null): Promise<{ rate: number; count: number }> {
  const places: Place[] = []
  let count = 0
  let refused = 0
  const from = performance.now()
  while (performance.now() - from < length) {
    for (let index = 0; index < BURST; index++) {
      const startedAt = samples === null ? 0 : performance.now()
      const now = monotonicNow()
      const place = spool.append(splitUlid(now), EVENT, now)
      if (samples !== null && count < MAX_SAMPLES) samples[count] = performance.now() - startedAt
      if (place === null) refused++
      else places.push(place)
      count++
      if (places.length >= BATCH) spool.settle(places.splice(0))
    }
    await turn()
  }
  const rate = (count / (performance.now() - from)) * 1_000
  spool.settle(places)
  if (refused > 0) console.log(`${refused} of ${count} appends refused`)
  return { rate, count }
}

// Warms up the compiler.
await measure(500, null)
const sustained = await measure(Number(seconds) * 1_000, null)
const samples = new Float64Array(MAX_SAMPLES)
const { count } = await measure(Number(seconds) * 1_000, samples)
const sorted = samples.subarray(0, Math.min(count, MAX_SAMPLES)).sort()
const at = (share: number): string => `${((sorted[Math.floor(sorted.length * share)] ?? 0) * 1_000).toFixed(2)} us`
console.log(`append of ${EVENT.length} bytes and an id, durability ${durability}`)
console.log(`median ${at(0.5)}, p99 ${at(0.99)}, p99.9 ${at(0.999)}, max ${at(0.9999999)}`)
console.log(`${Math.round(sustained.rate)} appends/s, including rotation and settling; degraded ${degraded} times`)
await spool.close()
rmSync(directory, { recursive: true, force: true })
