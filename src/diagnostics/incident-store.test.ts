import assert from 'node:assert/strict'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import { ms } from '../resilience/duration.ts'
import type { Incident } from './incident.ts'
import { IncidentFiles } from './incident-files.ts'
import { IncidentStore } from './incident-store.ts'
import type { LogFields } from './log.ts'

const LIMIT = ms(10_000)
let stateDir = ''
let logged: LogFields[] = []

beforeEach(() => {
  stateDir = mkdtempSync(join(tmpdir(), 'punctual-incidents-'))
  logged = []
})
afterEach(() => rmSync(stateDir, { recursive: true, force: true }))

const log = {
  warn: (fields: LogFields): void => void logged.push({ ...fields, level: 'warn' }),
  info: (fields: LogFields): void => void logged.push({ ...fields, level: 'info' }),
}

const store = (given: { maxIncidents?: number } = {}): IncidentStore =>
  new IncidentStore({ stateDir, maxIncidents: given.maxIncidents ?? 200, maxIncidentSize: 64 * 1024, log })

const incident = (number: number, given: Partial<Incident> = {}): Incident => ({
  id: `20261122T0043${String(number).padStart(5, '0')}-w${number}-stall`,
  kind: 'stall',
  at: '2026-11-22T00:43:31.123Z',
  worker: { id: number, pid: 100 + number, generation: 1 },
  summary: `summary ${number}`,
  outcome: 'ongoing',
  evidence: [],
  ...given,
})

const files = (): string[] => readdirSync(join(stateDir, 'incidents'))

test('an incident is written to a file that only its user can read', async () => {
  const incidents = store()
  incidents.save(incident(1))
  assert.equal(await incidents.flush(LIMIT), true)
  const path = join(stateDir, 'incidents', `${incident(1).id}.json`)
  assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), incident(1))
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.equal(statSync(join(stateDir, 'incidents')).mode & 0o777, 0o700)
  assert.deepEqual(files(), [`${incident(1).id}.json`])
})

test('a later version replaces the earlier one', async () => {
  const incidents = store()
  for (let step = 0; step < 50; step += 1) incidents.save(incident(1, { stalledForMs: step }))
  incidents.save(incident(1, { outcome: 'interrupted' }))
  await incidents.flush(LIMIT)
  assert.equal((await incidents.read(incident(1).id))?.outcome, 'interrupted')
  assert.equal(incidents.counts().total, 1)
})

test('an unwritten incident can be read and listed', async () => {
  const incidents = store()
  incidents.save(incident(1))
  assert.equal((await incidents.read(incident(1).id))?.summary, 'summary 1')
  assert.equal((await incidents.list()).length, 1)
  await incidents.flush(LIMIT)
})

test('the list is newest first and has only summary fields', async () => {
  const incidents = store()
  for (const number of [2, 1, 3]) incidents.save(incident(number))
  await incidents.flush(LIMIT)
  const list = await incidents.list()
  assert.deepEqual(
    list.map((summary) => summary.worker?.id),
    [3, 2, 1],
  )
  assert.deepEqual(Object.keys(list[0] ?? {}).sort(), ['at', 'id', 'kind', 'outcome', 'summary', 'worker'])
})

test('the oldest are deleted beyond the maximum', async () => {
  const incidents = store({ maxIncidents: 3 })
  for (let number = 1; number <= 8; number += 1) incidents.save(incident(number))
  await incidents.flush(LIMIT)
  assert.deepEqual(
    (await incidents.list()).map((summary) => summary.worker?.id),
    [8, 7, 6],
  )
  assert.equal(incidents.counts().total, 8)
})

test('incidents are counted by kind', async () => {
  const incidents = store()
  incidents.save(incident(1))
  incidents.save(incident(1, { outcome: 'ended' }))
  incidents.save(incident(2, { kind: 'crash' }))
  assert.deepEqual(incidents.counts(), { total: 2, newest: incident(2).id, byKind: { stall: 1, crash: 1 } })
  await incidents.flush(LIMIT)
})

test('of too many unwritten incidents the oldest are dropped', async () => {
  const incidents = store({ maxIncidents: 1_000 })
  for (let number = 1; number <= 300; number += 1) incidents.save(incident(number))
  await incidents.flush(LIMIT)
  const kept = files().length
  assert.ok(kept >= 100 && kept < 300, `${kept} files`)
  assert.equal((await incidents.list())[0]?.worker?.id, 300)
})

test('no id reads a file outside the directory', async () => {
  writeFileSync(join(stateDir, 'secret.json'), JSON.stringify(incident(1)))
  const incidents = store()
  incidents.save(incident(1))
  await incidents.flush(LIMIT)
  for (const id of [
    '../secret',
    '..',
    '.',
    '',
    '/etc/passwd',
    'a/../../secret',
    'a\0b',
    '..%2fsecret',
    'x'.repeat(200),
  ]) {
    assert.equal(await incidents.read(id), undefined, id)
  }
})

test('files that are not incidents are skipped', async () => {
  const incidents = store()
  incidents.save(incident(5))
  await incidents.flush(LIMIT)
  const put = (name: string, text: string): void => writeFileSync(join(stateDir, 'incidents', name), text)
  put('a-broken.json', '{"id": "a-bro')
  put('b-empty.json', '')
  put('c-array.json', '[]')
  put('d-other.json', JSON.stringify(incident(5)))
  put('e-worker.json', JSON.stringify({ ...incident(5), id: 'e-worker', worker: 7 }))
  put('notes.txt', 'x')
  mkdirSync(join(stateDir, 'incidents', 'f-directory.json'))
  symlinkSync('/dev/zero', join(stateDir, 'incidents', 'g-endless.json'))
  assert.deepEqual(
    (await incidents.list()).map((summary) => summary.id),
    [incident(5).id],
  )
  for (const id of ['a-broken', 'b-empty', 'c-array', 'd-other', 'f-directory', 'g-endless']) {
    assert.equal(await incidents.read(id), undefined, id)
  }
})

test('temporary files of a killed arbiter are deleted', async () => {
  mkdirSync(join(stateDir, 'incidents'))
  writeFileSync(join(stateDir, 'incidents', '.20261122-w1-stall.999.tmp'), '{')
  const incidents = store()
  incidents.save(incident(1))
  await incidents.flush(LIMIT)
  assert.deepEqual(files(), [`${incident(1).id}.json`])
})

test('write failures are logged once when they begin and once when they end', async () => {
  writeFileSync(join(stateDir, 'incidents'), 'in the way')
  const incidents = store()
  for (let number = 1; number <= 3; number += 1) incidents.save(incident(number))
  assert.equal(await incidents.flush(LIMIT), true)
  assert.equal(logged.length, 1)
  const directory = join(stateDir, 'incidents')
  assert.partialDeepStrictEqual(logged[0], { level: 'warn', event: 'incidents-unwritable', directory })
  assert.deepEqual(await incidents.list(), [])
  rmSync(join(stateDir, 'incidents'))
  incidents.save(incident(4))
  await incidents.flush(LIMIT)
  assert.equal(logged.length, 2)
  assert.deepEqual(logged[1], { level: 'info', event: 'incidents-writable', directory, lost: 3 })
})

test('a missing directory is an empty list; an unreadable one rejects', async () => {
  assert.deepEqual(await new IncidentFiles(join(stateDir, 'nowhere')).list(), [])
  writeFileSync(join(stateDir, 'incidents'), 'in the way')
  await assert.rejects(new IncidentFiles(stateDir).list())
})

test('flush resolves at its timeout', async () => {
  const incidents = store({ maxIncidents: 1_000 })
  for (let number = 1; number <= 100; number += 1) incidents.save(incident(number))
  assert.equal(await incidents.flush(ms(0)), false)
  assert.equal(await incidents.flush(LIMIT), true)
})
