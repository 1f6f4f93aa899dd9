import assert from 'node:assert/strict'
import { test } from 'node:test'
import { breaker } from './breaker.ts'
import { bulkhead } from './bulkhead.ts'
import { fallbackChain, type KeyOf, withFallback } from './fallback.ts'
import { retry } from './retry.ts'
import { withDeadline } from './with-deadline.ts'
import { withTimeout } from './with-timeout.ts'

type Same<One, Other> = (<T>() => T extends One ? 1 : 2) extends <T>() => T extends Other ? 1 : 2 ? true : false

/** Fails to compile unless both types are the same. */
function expectType<One, Other>(_same: Same<One, Other>): void {}

interface User {
  readonly id: number
}
const load = async (): Promise<User> => ({ id: 1 })

test('the result has the type of the work, and of the fallback if there is one', async () => {
  const plain = withTimeout('user', '5s', load)
  expectType<typeof plain, Promise<User>>(true)
  const nullable = withTimeout('user', '5s', load, { fallback: null })
  expectType<typeof nullable, Promise<User | null>>(true)
  const made = withTimeout('user', '5s', load, { fallback: (expired) => expired.timeout })
  expectType<Awaited<typeof made> extends User | number ? true : false, true>(true)
  const promised = withTimeout('user', 5_000, load, { fallback: async () => 'anonymous' })
  expectType<typeof promised, Promise<User | string>>(true)
  const synchronous = withTimeout('user', 'unbounded', () => 7)
  expectType<typeof synchronous, Promise<number>>(true)
  const otherwise = withFallback('user', load, () => null)
  expectType<typeof otherwise, Promise<User | null>>(true)
  const scoped = withDeadline('work', '1s', load)
  expectType<typeof scoped, Promise<User>>(true)
  await Promise.all([plain, nullable, made, promised, synchronous, otherwise, scoped])
})

test('policies keep the type of the work through any nesting', async () => {
  const partner = breaker('partner')
  const slots = bulkhead('partner', { concurrent: 2 })
  const again = retry('partner')
  const nested = withTimeout('partner', '5s', () => again.run(() => partner.run(() => slots.run(load))))
  expectType<typeof nested, Promise<User>>(true)
  assert.deepEqual(await nested, { id: 1 })
})

test('the source of an answer determines its type', async () => {
  const discussions = fallbackChain('discussion', {
    sources: {
      messaging: async (id: string) => ({ messages: [id] }),
      issue: (id: string) => ({ chat: id.length }),
    },
    next: (_error, source) => source === 'messaging',
  })
  const answer = await discussions.ask('7', { first: 'issue' })
  if (answer.source === 'messaging') expectType<typeof answer.value, { messages: string[] }>(true)
  else expectType<typeof answer.value, { chat: number }>(true)
  expectType<KeyOf<{ one: (key: string) => void; two: (key: string) => void }>, string>(true)
  // @ts-expect-error a key of another type
  await discussions.ask(7).catch(() => {})
  // @ts-expect-error no such source
  await assert.rejects(discussions.ask('7', { first: 'nowhere' }), {
    code: 'PUNCTUAL_INVALID_OPTION',
    details: { option: 'first', given: 'nowhere' },
  })
})

test('a value that is not a duration neither compiles nor runs', async () => {
  // @ts-expect-error a length of time has a unit
  await assert.rejects(withTimeout('user', '5', load), RangeError)
  // @ts-expect-error null is not "without limit"
  await assert.rejects(withTimeout('user', null, load), RangeError)
})
