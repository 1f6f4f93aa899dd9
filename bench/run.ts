// `npm run bench` lists the benches; `npm run bench -- http` runs one.
import { parseArgs } from 'node:util'
import { benchAuth } from './auth/auth.ts'
import type { Bench } from './bench.ts'
import { benchBoot } from './boot/boot.ts'
import { benchCache } from './cache/cache.ts'
import { benchHttp } from './http/http.ts'
import { benchPerRequest } from './http/per-request.ts'
import { benchQueries } from './queries/queries.ts'
import { benchQueue } from './queue/queue.ts'
import { benchReferrals } from './referrals/referrals.ts'
import { benchWaits } from './waits/waits.ts'

const BENCHES: Readonly<Record<string, Bench>> = {
  auth: {
    prose: 'second incident, before and after, with slow queries and a locked table (about 7 minutes)',
    rounds: 1,
    seconds: 30,
    run: benchAuth,
  },
  boot: {
    prose: 'fourth incident: 69 route modules, imported at boot and deferred (about 6 minutes)',
    rounds: 15,
    seconds: 1,
    run: benchBoot,
  },
  cache: {
    prose:
      'cache hits compared with lru-cache and bentocache, concurrent misses, Redis failures, invalidations (about 2 minutes)',
    rounds: 9,
    seconds: 1,
    run: benchCache,
  },
  http: {
    prose: 'requests/s, p99 and memory under Punctual, bare node:cluster, PM2 and Watt (Linux only, about 17 minutes)',
    rounds: 12,
    seconds: 1,
    run: benchHttp,
  },
  'per-request': {
    prose: 'cost of the hooks per request, in one process',
    rounds: 15,
    seconds: 1,
    run: benchPerRequest,
  },
  queries: {
    prose: 'cost of counting a query (about 3 minutes)',
    rounds: 9,
    seconds: 1,
    run: benchQueries,
  },
  queue: {
    prose:
      'durableQueue compared with BullMQ, graphile-worker, pg-boss and INSERT; delivery of 200,000 events (about 3 minutes)',
    rounds: 5,
    seconds: 2,
    run: benchQueue,
  },
  referrals: {
    prose: 'third incident, before and after: queries, p50, p99, requests/s (about 5 minutes)',
    rounds: 10,
    seconds: 1,
    run: benchReferrals,
  },
  waits: {
    prose: 'withTimeout compared with Promise.race and cockatiel (about 3 minutes)',
    rounds: 9,
    seconds: 1,
    run: benchWaits,
  },
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    only: { type: 'string', multiple: true },
    app: { type: 'string' },
    compare: { type: 'string' },
    long: { type: 'boolean' },
  },
})
const [name, ...rest] = positionals
const bench = name === undefined ? undefined : BENCHES[name]

if (bench === undefined || rest.length > 0) {
  if (name !== undefined) console.error(`bench: unknown bench "${positionals.join(' ')}"\n`)
  console.log('usage: npm run bench -- <name> [--rounds n] [--seconds n]')
  for (const [known, { prose }] of Object.entries(BENCHES)) console.log(`  ${known.padEnd(12)} ${prose}`)
  console.log('http: [--only server]… [--app plain|fastify]')
  console.log(
    'http, per-request, waits, cache, queue: [--compare directory] compares with another checkout and saves nothing',
  )
  console.log(
    'auth: --rounds is in thousands of requests; --seconds is how long the table is locked (12 for a short run)',
  )
  console.log('queue: --long delivers a million events')
  console.log('referrals: --rounds is in hundreds of requests')
  if (name !== undefined) process.exitCode = 2
} else {
  // Exit handlers of a bench must also run after Ctrl-C.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130))
  try {
    await bench.run({
      rounds: count('rounds', values.rounds, bench.rounds),
      seconds: count('seconds', values.seconds, bench.seconds),
      only: values.only ?? [],
      app: values.app,
      compare: values.compare,
      long: values.long ?? false,
    })
  } catch (error) {
    console.error(`bench: ${error instanceof Error ? error.message : error}`)
    process.exit(1)
  }
}

function count(flag: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text)
  if (Number.isSafeInteger(value) && value > 0) return value
  console.error(`bench: --${flag} must be a positive integer, got "${text}"`)
  process.exit(2)
}
