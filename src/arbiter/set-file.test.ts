import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { readSetFile, setAsideSetFile, writeSetFile } from './set-file.ts'

let stateDir = ''
beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'punctual-set-'))
})
afterEach(() => rmSync(stateDir, { recursive: true, force: true }))

const VALUES = new Map([
  ['requestTimeout', { value: '20s', at: '2026-11-22T07:40:00.000Z' }],
  ['cache.auth:user.ttl', { value: '0ms', at: '2026-11-22T07:41:00.000Z' }],
])

test('values are read back in their order, and only the user can read the file', async () => {
  await writeSetFile(stateDir, VALUES)
  const { values, fault } = await readSetFile(stateDir)
  assert.deepEqual([...values], [...VALUES])
  assert.equal(fault, null)
  assert.equal(statSync(join(stateDir, 'set.json')).mode & 0o777, 0o600)
  assert.deepEqual(readdirSync(stateDir), ['set.json'])
})

test('a missing file or directory means that nothing is set', async () => {
  assert.deepEqual(await readSetFile(stateDir), { values: new Map(), fault: null })
  assert.deepEqual(await readSetFile(join(stateDir, 'missing')), { values: new Map(), fault: null })
})

test('a damaged file is reported with its path and can be moved away', async () => {
  for (const text of [
    '',
    '{',
    'null',
    '[]',
    '{"version":2,"set":{}}',
    '{"version":1}',
    '{"version":1,"set":{"a":"b"}}',
  ]) {
    writeFileSync(join(stateDir, 'set.json'), text)
    const { values, fault } = await readSetFile(stateDir)
    assert.equal(values.size, 0)
    assert.equal(fault?.path, join(stateDir, 'set.json'), text)
  }
  assert.equal(await setAsideSetFile(stateDir), join(stateDir, 'set.json.damaged'))
  assert.deepEqual(readdirSync(stateDir), ['set.json.damaged'])
})

test('a failed write leaves the file unchanged and no temporary file', async () => {
  await writeSetFile(stateDir, VALUES)
  rmSync(join(stateDir, 'set.json'))
  // A directory in its place cannot be replaced by a file.
  mkdirSync(join(stateDir, 'set.json'))
  await assert.rejects(writeSetFile(stateDir, VALUES))
  assert.deepEqual(readdirSync(stateDir), ['set.json'])
})
