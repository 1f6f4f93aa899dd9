import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { ms } from '../../wait/duration.ts'
import { FileLock } from './file-lock.ts'
import { takeLock } from './take-lock.ts'

let directory: string

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'punctual-lock-'))
})

afterEach(() => rmSync(directory, { recursive: true }))

const never = new AbortController().signal

describe('the file lock', () => {
  it('is had by one at a time, names its holder, and is free when that has closed it', async () => {
    const path = join(directory, 'deep/release.lock')
    const [one, other] = [await FileLock.open(path), await FileLock.open(path)]
    assert.equal(await one.tryTake(), true)
    assert.equal(await other.tryTake(), false)
    assert.match((await other.holder()) ?? '', new RegExp(`\\(pid ${process.pid}\\), since 20`))
    const waits: (string | null)[] = []
    const limited = takeLock(other, { limit: ms(300), signal: never, onWait: (holder) => waits.push(holder) })
    await assert.rejects(limited, /was not to be had within 300 ms: it is held by .* \(pid \d+\), since /)
    assert.equal(waits.length, 1)
    await one.close()
    assert.equal(await other.tryTake(), true)
    await other.close()
  })

  it('is waited for no longer once that is given up', async () => {
    const path = join(directory, 'release.lock')
    const [one, other] = [await FileLock.open(path), await FileLock.open(path)]
    await one.tryTake()
    const giveUp = new AbortController()
    const waiting = takeLock(other, {
      limit: ms(30_000),
      signal: giveUp.signal,
      onWait: () => giveUp.abort(new Error('stopping')),
    })
    await assert.rejects(waiting, /stopping/)
    await one.close()
    await other.close()
  })

  it('is had also where its holder cannot be written down, and then nobody knows whose it is', async () => {
    const path = join(directory, 'release.lock')
    mkdirSync(`${path}-holder`)
    const [one, other] = [await FileLock.open(path), await FileLock.open(path)]
    assert.equal(await one.tryTake(), true)
    assert.equal(await other.tryTake(), false)
    assert.equal(await other.holder(), null)
    await one.close()
    await other.close()
  })

  it('that cannot be opened is told with its path', async () => {
    await assert.rejects(
      FileLock.open('/proc/none/release.lock'),
      /the release lock \/proc\/none\/release\.lock cannot be opened/,
    )
  })
})
