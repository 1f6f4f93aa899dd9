import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { batch } from '../batch/index.ts'
import { readThrough } from '../cache/index.ts'
import { breaker, bulkhead, fallbackChain, retry, withDeadline, withFallback, withTimeout } from '../index.ts'
import { guardPool } from '../postgres/index.ts'
import { durableQueue, graphileWorker } from '../queue/index.ts'
import { deferRoutes, lazy } from '../routes/index.ts'
import { runtimeTimeout, runtimeValue } from '../runtime/index.ts'
import { openSqlite } from '../sqlite/index.ts'
import { expectNoRepeats } from '../testing.ts'

/** A program in JavaScript, whose options no compiler checks. */
type Call = (options: object) => unknown
const nothing = (): undefined => undefined
// biome-ignore lint/suspicious/noExplicitAny: The options are wrong on purpose.
const wrong = (options: object): any => options

const CALLS: readonly [call: string, given: string, suggestion: string, make: Call][] = [
  ['withTimeout', 'fallbak', 'fallback', (options) => withTimeout('x', '1s', nothing, wrong(options))],
  ['withDeadline', 'reserv', 'reserve', (options) => withDeadline('x', '1s', nothing, wrong(options))],
  ['withFallback', 'wen', 'when', (options) => withFallback('x', nothing, 1, wrong(options))],
  ['breaker', 'openfor', 'openFor', (options) => breaker('x', wrong(options))],
  ['breaker.run', 'parnet', 'parent', (options) => breaker('x').run(nothing, wrong(options))],
  [
    'breaker trip',
    'trip.faliures',
    'failures',
    (options) => breaker('x', wrong({ trip: { kind: 'consecutive', ...options } })),
  ],
  ['bulkhead', 'concurrency', 'concurrent', (options) => bulkhead('x', wrong(options))],
  ['retry', 'attempt', 'attempts', (options) => retry('x', wrong(options))],
  ['retry budget', 'budget.pershare', 'share', (options) => retry('x', wrong({ budget: options }))],
  ['fallbackChain', 'source', 'sources', (options) => fallbackChain('x', wrong(options))],
  [
    'guardPool',
    'queryLimt',
    'queryTimeout',
    (options) => guardPool('main', wrong({ query: nothing, options: {} }), wrong(options)),
  ],
  ['openSqlite', 'reader', 'readers', (options) => openSqlite('x', ':memory:', wrong(options))],
  ['batch', 'mx', 'max', (options) => batch('x', wrong(nothing), wrong(options))],
  ['readThrough', 'tll', 'ttl', (options) => readThrough('x', wrong({ load: nothing, ...options }))],
  [
    'readThrough memory',
    'memory.item',
    'items',
    (options) => readThrough('x', wrong({ load: nothing, memory: options })),
  ],
  ['durableQueue', 'concurency', 'concurrency', (options) => durableQueue('x', nothing, wrong(options))],
  [
    'durableQueue backOff',
    'backOff.form',
    'from',
    (options) => durableQueue('x', nothing, wrong({ backOff: options })),
  ],
  [
    'graphileWorker',
    'shema',
    'schema',
    (options) => graphileWorker(wrong({ query: nothing, options: {} }), wrong(options)),
  ],
  ['lazy', 'timeOut', 'timeout', (options) => lazy('x', nothing, wrong(options))],
  ['deferRoutes', 'loadLimit', 'loadTimeout', (options) => deferRoutes('/x', wrong(nothing), wrong(options))],
  ['runtimeValue', 'onchange', 'onChange', (options) => runtimeValue('a.b', wrong(options))],
  ['runtimeTimeout', 'onChanged', 'onChange', (options) => runtimeTimeout('a.b', '1s', wrong(options))],
  ['expectNoRepeats', 'repeat', 'repeats', (options) => expectNoRepeats(nothing, wrong(options))],
]

describe('an option that does not exist is an InvalidOptionError that suggests the right name', () => {
  for (const [call, option, suggestion, make] of CALLS) {
    it(`${call}: ${option}`, async () => {
      const name = option.slice(option.indexOf('.') + 1)
      await assert.rejects(async () => make({ [name]: '5s' }), {
        name: 'InvalidOptionError',
        code: 'PUNCTUAL_INVALID_OPTION',
        details: { option, given: '5s', suggestion },
      })
    })
  }

  it('names all options if none is similar', () => {
    assert.throws(() => lazy('x', nothing, wrong({ colour: 1 })), {
      details: { option: 'colour', given: 1 },
      message: /timeout, retryDelay/,
    })
  })

  it('unless its value is undefined', async () => {
    assert.equal(await withTimeout('x', '1s', () => 1, wrong({ fallbak: undefined })), 1)
  })
})
