import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ms } from '../wait/duration.ts'
import { readReleasePlan } from './read-release-plan.ts'
import type { ReleasePlan } from './release-config.ts'
import type { SettingFault } from './settings-error.ts'

const STEPS = [{ name: 'migrate', run: 'npm run migrate' }]

function read(values: Record<string, unknown>, env: Record<string, string> = {}): ReleasePlan & { faults: string[] } {
  const faults: SettingFault[] = []
  const around = { file: 'punctual.config.ts', cwd: '/app', env, stateDir: '/app/state', releaseLimit: ms(60_000) }
  const plan = readReleasePlan(values, around, faults)
  return { ...plan, faults: faults.map(({ source, what }) => `${source}: ${what}`) }
}

describe('the release part of the config file', () => {
  it('is nothing where there is none', () => {
    const { steps, backup, faults } = read({})
    assert.deepEqual([steps, backup, faults], [[], null, []])
  })

  it('has its lock in the state directory, or in the database of the back-up, or where it says', () => {
    assert.deepEqual(read({ release: STEPS }).lock, { kind: 'file', path: '/app/state/release.lock' })
    const backup = { database: 'sqlite:data/app.db' }
    assert.deepEqual(read({ release: STEPS, backup }).lock, { kind: 'sqlite', path: '/app/data/app.db' })
    const env = { DB: 'postgres://u:p@h/d' }
    const both = read({ release: STEPS, backup, releaseLock: 'env:DB' }, env)
    assert.deepEqual(both.lock, { kind: 'postgres', url: 'postgres://u:p@h/d' })
    assert.deepEqual(both.backup?.database, { kind: 'sqlite', path: '/app/data/app.db' })
  })

  it('a transactional step needs a database: a lock that is a file has none', () => {
    const release = [{ name: 'count', transactional: true, run: () => {} }]
    const fault = 'punctual.config.ts: release[0].transactional: needs a database, and the release lock is a file'
    assert.deepEqual(read({ release }).faults, [fault])
    assert.deepEqual(read({ release, releaseLock: 'file:lock' }).faults, [fault])
    assert.deepEqual(read({ release, releaseLock: 'sqlite:app.db' }).faults, [])
    assert.deepEqual(read({ release, releaseLock: 'env:NONE' }).faults, [
      'punctual.config.ts: releaseLock: the variable NONE is not set',
    ])
  })

  it('a lock that is there and undefined is a fault: it would silently hold on one machine only', () => {
    assert.deepEqual(read({ release: STEPS, releaseLock: undefined }).faults, [
      'punctual.config.ts: releaseLock: is there, and undefined',
    ])
    assert.deepEqual(read({ release: STEPS, releaseLock: 'env:NONE' }).faults, [
      'punctual.config.ts: releaseLock: the variable NONE is not set',
    ])
  })

  it('what is wrong is told by its place, and never what an address holds', () => {
    const cases: readonly [Record<string, unknown>, RegExp][] = [
      [{ release: 'migrate' }, /release: is not a list of steps/],
      [{ release: [...STEPS, ...STEPS] }, /release\[1\]\.name: "migrate" is the name of another step too/],
      [{ release: [{ name: 'a', run: 3 }] }, /release\[0\]\.run: is neither a command nor a function/],
      [{ release: [{ name: 'a', run: 'x', limit: 5 }] }, /release\[0\]\.limit: is not a duration/],
      [{ release: [{ name: 'a', run: 'x', limit: 'unbounded' }] }, /release\[0\]\.limit: is not a duration/],
      [{ release: [{ name: 'a', run: 'x', limit: '2m' }] }, /release\[0\]\.limit: is longer than releaseLimit \(1m\)/],
      [{ release: STEPS, releaseLock: 'mysql://u:secret@h/d' }, /releaseLock: is of no form that is known/],
      [{ release: STEPS, backup: {} }, /backup: names no database/],
      [
        { release: STEPS, backup: { database: 'postgres://h/d', keep: 0 } },
        /backup\.keep: is not a whole number from 1/,
      ],
      [{ release: STEPS, backup: { command: 'x', restoreOnFailure: true } }, /restoreOnFailure: needs to know how/],
      [{ release: STEPS, backup: { databse: 'postgres://h/d' } }, /backup\.databse: there is no such option/],
    ]
    for (const [values, told] of cases) {
      const { faults } = read(values)
      assert.match(faults.join('\n'), told)
      assert.doesNotMatch(faults.join('\n'), /secret/)
    }
  })
})
