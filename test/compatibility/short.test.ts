import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { SERVERS } from './servers.ts'
import { type RunningBackends, startBackends } from './support/backends.ts'
import { CHECKS, type Examination, examine } from './support/examine.ts'

/** The most used servers; `npm run compatibility` runs all. */
const MOST_USED = ['express', 'fastify', 'nestjs-express', 'next-start', 'socket.io']

describe('an app that works under node works under punctual run', () => {
  const chosen = SERVERS.filter(({ name }) => MOST_USED.includes(name))
  const examinations = new Map<string, Examination>()
  let backends: RunningBackends
  before(async () => {
    backends = await startBackends(chosen.flatMap((server) => server.backends ?? []))
    const waiting = [...chosen]
    const examineNext = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        examinations.set(next.name, await examine(next, backends.urls))
      }
    }
    // They wait most of the time.
    await Promise.all([examineNext(), examineNext(), examineNext()])
  })
  after(() => backends[Symbol.asyncDispose]())

  for (const { name, title } of chosen) {
    describe(title, () => {
      for (const check of CHECKS) {
        it(`${check} is as under node`, () => {
          const examination = examinations.get(name)
          assert.equal(examination?.unusable, undefined)
          const result = examination?.checks[check]
          assert.ok(result === 'ok' || result === 'none', typeof result === 'object' ? result.fault : 'was not reached')
        })
      }
    })
  }
})
