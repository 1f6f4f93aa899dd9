import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { describe, it } from 'node:test'
import { ms, UNBOUNDED } from './duration.ts'
import { promiseAtMost, waitAtMost } from './wait-at-most.ts'

const never = new Promise<never>(() => {})

describe('waitAtMost', () => {
  it('settles as the work does', async () => {
    assert.equal(await waitAtMost(ms(60_000), Promise.resolve(1)), 1)
    assert.equal(await waitAtMost(UNBOUNDED, Promise.resolve(1)), 1)
    await assert.rejects(waitAtMost(ms(60_000), Promise.reject(new Error('ill'))), /ill/)
  })

  it('returns the result of onTimeout, or undefined', async () => {
    assert.equal(await waitAtMost(ms(1), never), undefined)
    assert.equal(await waitAtMost(ms(1), never, () => 'late'), 'late')
    await assert.rejects(
      waitAtMost(ms(1), never, () => {
        throw new Error('too late')
      }),
      /too late/,
    )
  })

  it('drops a late rejection', async () => {
    let reject: (error: unknown) => void = () => {}
    const work = new Promise<never>((_, rejected) => {
      reject = rejected
    })
    await waitAtMost(ms(1), work)
    reject(new Error('a late rejection'))
    await new Promise((resolve) => setImmediate(resolve))
  })

  it('leaves no timer behind, and keeps the process alive only with keepAlive', () => {
    const url = JSON.stringify(new URL('./wait-at-most.ts', import.meta.url).href)
    const run = (code: string): string =>
      execFileSync(process.execPath, ['--input-type=module', '-e', `import { waitAtMost } from ${url}\n${code}`], {
        encoding: 'utf8',
        timeout: 60_000,
      })
    assert.equal(run("await waitAtMost(3_600_000, Promise.resolve()); console.log('done')"), 'done\n')
    const never = 'new Promise(() => {})'
    assert.equal(run(`waitAtMost(20, ${never}).then(() => console.log('late'))`), 'late\n')
    const options = 'undefined, { keepAlive: false }'
    assert.equal(run(`waitAtMost(3_600_000, ${never}, ${options}).then(() => console.log('late'))`), '')
  })
})

describe('promiseAtMost', () => {
  it('settles as its executor does, which may throw', async () => {
    assert.equal(await promiseAtMost<number>(ms(60_000), (resolve) => resolve(1)), 1)
    await assert.rejects(
      promiseAtMost(ms(60_000), (_, reject) => reject(new Error('ill'))),
      /ill/,
    )
    await assert.rejects(
      promiseAtMost(ms(60_000), () => {
        throw new Error('thrown')
      }),
      /thrown/,
    )
  })

  it('returns the result of onTimeout; a later result has no effect', async () => {
    let settle: (value: string) => void = () => {}
    const promise = promiseAtMost<string, string>(
      ms(1),
      (resolve) => {
        settle = resolve
      },
      () => 'late',
    )
    assert.equal(await promise, 'late')
    settle('later')
    assert.equal(await promise, 'late')
  })
})
