import { AsyncLocalStorage } from 'node:async_hooks'
import type { IncomingMessage, ServerResponse } from 'node:http'

/**
 * Ways to stall the event loop, by the path that causes them. Each is a function with the comment
 * `here: <path>` at the line that stalls, so that a test can compare an incident with the source.
 */
export type Culprit = (request: IncomingMessage, response: ServerResponse) => unknown

export let turns = 0

function handler(): void {
  for (;;) turns++ // here: handler
}

async function afterAwait(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 5))
  for (;;) turns++ // here: after-await
}

function inTimer(): void {
  setTimeout(function timerCallback() {
    for (;;) turns++ // here: timer
  }, 5)
}

function inTick(): void {
  process.nextTick(function tickCallback() {
    for (;;) turns++ // here: tick
  })
}

function inImmediate(): void {
  // All in the same turn of the event loop.
  setImmediate(() => {})
  setImmediate(function immediateCallback() {
    for (;;) turns++ // here: immediate
  })
  setImmediate(() => console.log('the next immediate'))
}

function inStreamEvent(request: IncomingMessage): void {
  request.resume()
  request.on('end', function endCallback() {
    for (;;) turns++ // here: stream-event
  })
}

const storage = new AsyncLocalStorage<{ readonly user: string }>()

function underStorage(): void {
  storage.run({ user: 'ada' }, async function storageCallback() {
    await null
    for (;;) turns++ // here: own-storage
  })
}

function regex(): void {
  turns += Number(/^(a+)+$/.test(`${'a'.repeat(64)}!`)) // here: regex
}

const words = Array.from({ length: 200_000 }, (_, index) => String((index * 7_919) % 200_003))

function sort(): void {
  words.toSorted(function comparator(a, b) {
    return a.localeCompare(b, 'en', { numeric: true }) // here: sort
  })
}

/** A pause cannot land in `JSON.parse`, only at the next call after it. */
function json(_request: IncomingMessage, response: ServerResponse): void {
  JSON.parse(numbersFor(1_800))
  response.end('parsed') // here: json
}

const numbers = (count: number): string => `[${'2.4703282292062327208e-324,'.repeat(count)}0]`
const sample = numbers(10_000)
/** Milliseconds to parse the sample: the fastest of a few, because the machine may be busy. */
const parsing = Math.min(
  ...Array.from({ length: 10 }, () => {
    const startedAt = performance.now()
    JSON.parse(sample)
    return performance.now() - startedAt
  }),
)

/** A text that takes about `target` milliseconds to parse, or more on a busy machine. */
function numbersFor(target: number): string {
  return numbers(Math.min(Math.ceil((10_000 * target) / parsing), 15_000_000))
}

export const culprits: Readonly<Record<string, Culprit>> = {
  handler,
  'after-await': afterAwait,
  timer: inTimer,
  tick: inTick,
  immediate: inImmediate,
  'stream-event': inStreamEvent,
  'own-storage': underStorage,
  regex,
  sort,
  json,
}
