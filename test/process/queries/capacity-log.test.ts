import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openStateDirectory } from '../../../src/arbiter/state-directory.ts'
import { claimLogOfRun } from '../../../src/postgres/connection-capacity.ts'

test('a shortage is logged once per server and run of the arbiter, even if the pid is the same', async (t) => {
  const path = await mkdtemp(join(tmpdir(), 'punctual-capacity-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  for (const _ of [1, 2]) {
    const directory = await openStateDirectory(path)
    const claims = ['db:5432', 'db:5432', '/run/db:5432', 'db:5432'].map((server) => claimLogOfRun(path, server))
    assert.deepEqual(claims, [true, false, true, false])
    assert.equal((await readdir(path)).filter((name) => name.startsWith('connection-shortage-logged-')).length, 2)
    await directory.release()
  }
  assert.equal(claimLogOfRun(path, 'db:5432'), true, 'if the run is unknown the shortage is logged')
})
