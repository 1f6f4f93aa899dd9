import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { until } from '../support/until.ts'
import { NOTHING_UNDONE, ReleaseApp } from './release-app.ts'

function config(version: string, steps: string, more = ''): Record<string, string> {
  return {
    'punctual.config.ts': `export default { releaseVersion: '${version}', release: [${steps}], ${more} }`,
  }
}

function createApp(version: string, steps: string, more = ''): ReleaseApp {
  return new ReleaseApp(config(version, steps, more)['punctual.config.ts'] ?? '')
}

function written(app: ReleaseApp, name: string): string {
  const path = join(app.directory.path, name)
  return existsSync(path) ? readFileSync(path, 'utf8') : ''
}

describe('undoing a release', { concurrency: 3 }, () => {
  it('that fails midway leaves it undone: the next release runs it again', async () => {
    await using app = createApp(
      'v1',
      `{ name: 'one', run: 'echo one >> ran', rollback: 'exit 1' }, { name: 'two', run: 'echo two >> ran', rollback: 'true' }`,
    )
    assert.equal((await app.release()).code, 0)
    const { code, end } = await app.release('--rollback')
    assert.equal(code, 4)
    assert.deepEqual(end?.failure, { phase: 'rollback', reason: 'failed', step: 'one', exitCode: 1, signal: null })
    assert.deepEqual(
      end?.record?.steps.map(({ name, rollback }) => [name, rollback]),
      [
        ['one', 'failed'],
        ['two', 'done'],
      ],
    )
    const again = (await app.release()).end
    assert.deepEqual([again?.outcome, again?.version, again?.record?.steps.length], ['done', 'v1', 2])
    assert.equal(written(app, 'ran'), 'one\ntwo\none\ntwo\n')
  })

  it('does not undo a step twice for an older run of the same version', async () => {
    const steps = (last: string): string =>
      `{ name: 'migrate', run: 'true', rollback: 'echo $RELEASE_VERSION >> down' }, { name: 'last', run: '${last}', rollback: 'true' }`
    await using app = createApp('v1', steps('true'))
    assert.equal((await app.release()).code, 0)
    app.directory.write(config('v2', steps('touch begun; sleep 600')))
    const running = app.start()
    await until('the last step to have begun', () => existsSync(join(app.directory.path, 'begun')))
    running.child.kill('SIGTERM')
    assert.deepEqual((await running.ended).end?.failure?.undo, { ...NOTHING_UNDONE, skipped: 'stopped' })
    app.directory.write(config('v2', steps('true')))
    assert.equal((await app.release()).code, 0)
    const undone = async (): Promise<readonly unknown[]> => {
      const { end } = await app.release('--rollback')
      return [end?.outcome, end?.version, end?.record?.outcome]
    }
    assert.deepEqual(await undone(), ['done', 'v2', 'rolled-back'])
    assert.deepEqual(await undone(), ['done', 'v1', 'rolled-back'])
    assert.deepEqual((await app.release('--rollback')).end?.failure, { phase: 'rollback', reason: 'nothing-to-undo' })
    assert.equal(written(app, 'down'), 'v2\nv1\n')
  })

  it('from a backup is refused if a newer release has none', async () => {
    const step = `{ name: 'a', run: 'true', rollback: 'touch undone' }`
    await using app = createApp('v1', step, "backup: { database: 'sqlite:app.db' }, releaseLock: 'file:release.lock'")
    assert.equal((await app.release()).code, 0)
    app.directory.write(config('v2', step, `releaseLock: 'file:release.lock'`))
    assert.equal((await app.release()).code, 0)
    app.directory.write(config('v2', step, "backup: { database: 'sqlite:app.db' }, releaseLock: 'file:release.lock'"))
    const { code, end } = await app.release('--restore')
    assert.equal(code, 4)
    assert.deepEqual(end?.failure, { phase: 'restore', reason: 'no-backup' })
    assert.equal(end?.version, 'v2')
    // The advice of the error works.
    assert.equal((await app.release('--rollback')).code, 0)
    const restored = (await app.release('--restore')).end
    assert.deepEqual([restored?.outcome, restored?.version, restored?.record?.restored], ['done', 'v1', true])
  })
})
