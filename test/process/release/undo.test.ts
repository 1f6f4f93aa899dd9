import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { until } from '../support/until.ts'
import { ReleasePlace } from './place.ts'

function config(version: string, steps: string, more = ''): Record<string, string> {
  return {
    'punctual.config.ts': `export default { releaseVersion: '${version}', release: [${steps}], ${more} }`,
  }
}

function place(version: string, steps: string, more = ''): ReleasePlace {
  return new ReleasePlace(config(version, steps, more)['punctual.config.ts'] ?? '')
}

function written(at: ReleasePlace, name: string): string {
  const path = join(at.directory.path, name)
  return existsSync(path) ? readFileSync(path, 'utf8') : ''
}

describe('undoing a release later', { concurrency: 3 }, () => {
  it('that stops half-way leaves it not done: the next start does it again', async () => {
    await using at = place(
      'v1',
      `{ name: 'one', run: 'echo one >> ran', rollback: 'exit 1' }, { name: 'two', run: 'echo two >> ran', rollback: 'true' }`,
    )
    assert.equal((await at.release()).code, 0)
    const { code, stderr } = await at.release('--rollback')
    assert.equal(code, 4)
    assert.match(stderr, /the roll-back of release step one failed after .*; rolled back before it: two/)
    const again = await at.release()
    assert.match(again.stdout, /release v1 is done: 2 steps/)
    assert.equal(written(at, 'ran'), 'one\ntwo\none\ntwo\n')
  })

  it('does not undo a step a second time for an older run of the same version', async () => {
    const steps = (last: string): string =>
      `{ name: 'migrate', run: 'true', rollback: 'echo $RELEASE_VERSION >> down' }, { name: 'last', run: '${last}', rollback: 'true' }`
    await using at = place('v1', steps('true'))
    assert.equal((await at.release()).code, 0)
    at.directory.write(config('v2', steps('touch begun; sleep 600')))
    const running = at.start()
    await until('the last step to have begun', () => existsSync(join(at.directory.path, 'begun')))
    running.child.kill('SIGTERM')
    assert.match((await running.ended).stderr, /nothing was rolled back/)
    at.directory.write(config('v2', steps('true')))
    assert.equal((await at.release()).code, 0)
    assert.match((await at.release('--rollback')).stdout, /^release v2 of .* is undone/)
    assert.match((await at.release('--rollback')).stdout, /^release v1 of .* is undone/)
    assert.match((await at.release('--rollback')).stderr, /there is no release to roll back/)
    assert.equal(written(at, 'down'), 'v2\nv1\n')
  })

  it('by a back-up is refused where a newer release has none', async () => {
    const step = `{ name: 'a', run: 'true', rollback: 'touch undone' }`
    await using at = place('v1', step, "backup: { database: 'sqlite:app.db' }, releaseLock: 'file:release.lock'")
    assert.equal((await at.release()).code, 0)
    at.directory.write(config('v2', step, `releaseLock: 'file:release.lock'`))
    assert.equal((await at.release()).code, 0)
    at.directory.write(config('v2', step, "backup: { database: 'sqlite:app.db' }, releaseLock: 'file:release.lock'"))
    const { code, stderr } = await at.release('--restore')
    assert.equal(code, 4)
    assert.match(stderr, /the newest release, v2 of .*, has no back-up, and an older one would undo more/)
    // What it says helps.
    assert.equal((await at.release('--rollback')).code, 0)
    assert.match((await at.release('--restore')).stdout, /^release v1 of .* is undone: its back-up .* was restored/)
  })
})
