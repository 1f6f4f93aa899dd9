import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { installServer, once } from './install.ts'

const directory = mkdtempSync(join(tmpdir(), 'punctual-install-'))
after(() => rmSync(directory, { recursive: true, force: true }))

describe('installServer', () => {
  it('installs what the lock file names, and again when it changes', async () => {
    const lockFile = (version: string): void => {
      const packages = { '': { name: 'app', dependencies: {} } }
      writeFileSync(
        join(directory, 'package-lock.json'),
        JSON.stringify({ name: 'app', version, lockfileVersion: 3, packages }),
      )
    }
    writeFileSync(join(directory, 'package.json'), '{ "name": "app" }')
    lockFile('1.0.0')
    assert.equal(await installServer(directory), directory)
    const first = readFileSync(join(directory, '.cache/install'), 'utf8')
    lockFile('1.0.1')
    await installServer(directory)
    assert.notEqual(readFileSync(join(directory, '.cache/install'), 'utf8'), first)
  })
})

describe('once', () => {
  it('does the work one time for callers at the same time', async () => {
    let times = 0
    const work = async (): Promise<void> => {
      times += 1
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    await Promise.all([once(directory, 'build', 'a', work), once(directory, 'build', 'a', work)])
    assert.equal(times, 1)
  })

  it('does it again for another key, and after a failure', async () => {
    let times = 0
    const work = async (): Promise<void> => {
      times += 1
      if (times === 1) throw new Error('no network')
    }
    await assert.rejects(once(directory, 'retry', 'a', work), /no network/)
    await once(directory, 'retry', 'a', work)
    await once(directory, 'retry', 'b', work)
    await once(directory, 'retry', 'b', work)
    assert.equal(times, 3)
  })
})
