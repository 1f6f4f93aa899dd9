import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ms } from '../resilience/duration.ts'
import type { SettingFault } from '../settings/settings-error.ts'
import { readReleasePlan } from './read-release-plan.ts'
import type { ReleasePlan } from './release-config.ts'

const STEPS = [{ name: 'migrate', run: 'npm run migrate' }]

type Outcome = ReleasePlan & { readonly faults: readonly string[]; readonly texts: string }

/** Faults as place and kind. */
function read(values: Record<string, unknown>, env: Record<string, string> = {}): Outcome {
  const faults: SettingFault[] = []
  const around = { file: 'punctual.config.ts', cwd: '/app', env, stateDir: '/app/state', releaseTimeout: ms(60_000) }
  const plan = readReleasePlan(values, around, faults)
  return {
    ...plan,
    faults: faults.map(({ source, kind }) => `${source.replace('punctual.config.ts: ', '')} ${kind}`),
    texts: JSON.stringify(faults),
  }
}

describe('readReleasePlan', () => {
  it('returns a plan without steps if the config file has no release keys', () => {
    const { steps, backup, faults } = read({})
    assert.deepEqual([steps, backup, faults], [[], null, []])
  })

  it('puts the lock into releaseLock, else into the database of the backup, else into the state directory', () => {
    assert.deepEqual(read({ release: STEPS }).lock, { kind: 'file', path: '/app/state/release.lock' })
    const backup = { database: 'sqlite:data/app.db' }
    assert.deepEqual(read({ release: STEPS, backup }).lock, { kind: 'sqlite', path: '/app/data/app.db' })
    const env = { DB: 'postgres://u:p@h/d' }
    const both = read({ release: STEPS, backup, releaseLock: 'env:DB' }, env)
    assert.deepEqual(both.lock, { kind: 'postgres', url: 'postgres://u:p@h/d' })
    assert.deepEqual(both.backup?.database, { kind: 'sqlite', path: '/app/data/app.db' })
  })

  it('rejects a transactional step if the lock is a file', () => {
    const release = [{ name: 'count', transactional: true, run: () => {} }]
    const fault = 'release[0].transactional unsupported'
    assert.deepEqual(read({ release }).faults, [fault])
    assert.deepEqual(read({ release, releaseLock: 'file:lock' }).faults, [fault])
    assert.deepEqual(read({ release, releaseLock: 'sqlite:app.db' }).faults, [])
    assert.deepEqual(read({ release, releaseLock: 'env:NONE' }).faults, ['releaseLock missing'])
  })

  it('rejects an undefined releaseLock, which would silently lock this machine only', () => {
    assert.deepEqual(read({ release: STEPS, releaseLock: undefined }).faults, ['releaseLock missing'])
    assert.deepEqual(read({ release: STEPS, releaseLock: 'env:NONE' }).faults, ['releaseLock missing'])
  })

  it('names the place of every error, and never prints a database address', () => {
    const cases: readonly [Record<string, unknown>, string][] = [
      [{ release: 'migrate' }, 'release wrong-type'],
      [{ release: [...STEPS, ...STEPS] }, 'release[1].name duplicate'],
      [{ release: [{ name: 'a', run: 3 }] }, 'release[0].run wrong-type'],
      [{ release: [{ name: 'a', run: 'x', timeout: 5 }] }, 'release[0].timeout invalid'],
      [{ release: [{ name: 'a', run: 'x', timeout: 'unbounded' }] }, 'release[0].timeout invalid'],
      [{ release: [{ name: 'a', run: 'x', timeout: '2m' }] }, 'release[0].timeout rule-broken'],
      [{ release: STEPS, releaseLock: 'mysql://u:secret@h/d' }, 'releaseLock invalid'],
      [{ release: STEPS, backup: {} }, 'backup missing'],
      [{ release: STEPS, backup: { database: 'postgres://h/d', keep: 0 } }, 'backup.keep invalid'],
      [{ release: STEPS, backup: { command: 'x', restoreOnFailure: true } }, 'backup.restoreOnFailure missing'],
      [{ release: STEPS, backup: { database: 'postgres://h/d', keeep: 1 } }, 'backup.keeep unknown-name'],
    ]
    for (const [values, fault] of cases) {
      const { faults, texts } = read(values)
      assert.deepEqual(faults, [fault])
      assert.doesNotMatch(texts, /secret/)
    }
  })
})
