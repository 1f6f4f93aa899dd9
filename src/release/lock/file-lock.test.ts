import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { LockHolder } from '../../diagnostics/release-report.ts'
import { ms } from '../../resilience/duration.ts'
import { ReleaseError } from '../release-error.ts'
import { FileLock } from './file-lock.ts'
import { acquireLock, formatHolder } from './release-lock.ts'

let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'punctual-lock-'))
})

afterEach(() => rmSync(directory, { recursive: true }))

const never = new AbortController().signal

describe('FileLock', () => {
  it('is held by one process at a time, names its holder, and is free after close', async () => {
    const path = join(directory, 'deep/release.lock')
    const [one, other] = [await FileLock.open(path), await FileLock.open(path)]
    assert.equal(await one.tryAcquire(), true)
    assert.equal(await other.tryAcquire(), false)
    const holder = await other.holder()
    assert.deepEqual([holder?.host, holder?.pid], [hostname(), process.pid])
    const waits: (LockHolder | null)[] = []
    const limited = acquireLock(other, { timeout: ms(300), signal: never, onWait: (holder) => waits.push(holder) })
    await assert.rejects(limited, { details: { phase: 'lock', reason: 'held', holder } })
    assert.deepEqual(waits, [holder])
    await one.close()
    assert.equal(await other.tryAcquire(), true)
    await other.close()
  })

  it('stops waiting when the signal is aborted', async () => {
    const path = join(directory, 'release.lock')
    const [one, other] = [await FileLock.open(path), await FileLock.open(path)]
    await one.tryAcquire()
    const giveUp = new AbortController()
    const why = new Error('stopping')
    const waiting = acquireLock(other, {
      timeout: ms(30_000),
      signal: giveUp.signal,
      onWait: () => giveUp.abort(why),
    })
    await assert.rejects(waiting, (error) => error === why)
    await one.close()
    await other.close()
  })

  it('is acquired even if the holder cannot be written; the holder is then unknown', async () => {
    const path = join(directory, 'release.lock')
    mkdirSync(`${path}-holder`)
    const [one, other] = [await FileLock.open(path), await FileLock.open(path)]
    assert.equal(await one.tryAcquire(), true)
    assert.equal(await other.tryAcquire(), false)
    assert.equal(await other.holder(), null)
    await one.close()
    await other.close()
  })

  it('reports a lock file that cannot be opened with its path', async () => {
    const path = '/proc/none/release.lock'
    await assert.rejects(FileLock.open(path), (error) => {
      assert.ok(error instanceof ReleaseError)
      assert.deepEqual([error.details.phase, error.details.reason, error.details.path], ['lock', 'not-opened', path])
      return true
    })
  })
})

describe('formatHolder', () => {
  it('contains what is known of the holder', () => {
    const since = '2026-11-22T07:00:00.000Z'
    assert.equal(formatHolder({ host: 'web-2', pid: 71, serverPid: null, since }), `web-2 (pid 71, since ${since})`)
    assert.equal(
      formatHolder({ host: 'web-2', pid: 71, serverPid: 913, since }),
      `web-2 (pid 71, server process 913, connected since ${since})`,
    )
    assert.equal(formatHolder({ host: null, pid: null, serverPid: 913, since: null }), 'a session (server process 913)')
    assert.equal(formatHolder(null), 'an unknown process')
  })
})
