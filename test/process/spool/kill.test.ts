import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { isOwnerAlive, listOwners, thisOwner } from '../../../src/queue/spool/owner.ts'
import { recoverSpool } from '../../../src/queue/spool/recovery-reader.ts'
import { until, within } from '../support/until.ts'
import { startProgram } from './started-program.ts'

/** `KILLS=100` for the long form. */
const KILLS = Number(process.env.KILLS ?? 6)
/** Milliseconds. */
const LONGEST_LIFE = 150
const OWNERS = 100

test(`of ${KILLS} processes killed while they append, settle and recover, every persisted item is recovered`, async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-kill-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const taken = new Set<string>()
  const settled = new Set<string>()
  for (let round = 0; round < KILLS; round++) {
    const program = await startProgram(t, 'append-forever', directory, round % 2 === 0 ? '4096' : '200000')
    await sleep(Math.random() * LONGEST_LIFE)
    await program.kill()
    const lines = program.printed().split('\n').slice(0, -1)
    for (const line of lines) {
      if (line.startsWith('+')) taken.add(line.slice(1))
      if (line.startsWith('-')) settled.add(line.slice(1))
    }
  }

  const found = new Map<string, string>()
  let repeated = 0
  for (const owner of listOwners(directory, 'q')) {
    assert.ok(!isOwnerAlive(owner))
    const adopted = recoverSpool(directory, 'q', owner, thisOwner(), { items: 100 })
    assert.ok(adopted)
    for (let items = adopted.items; items.length > 0; items = await adopted.more()) {
      for (const { id, json } of items) {
        assert.ok(!found.has(id), `${id} twice`)
        assert.equal((JSON.parse(json) as { id: string }).id, id)
        found.set(id, json)
        if (settled.has(id)) repeated++
      }
      adopted.settle(items.map(({ place }) => place))
    }
    assert.deepEqual(adopted.damaged, [])
    adopted.release()
  }
  const lost = [...taken].filter((id) => !found.has(id) && !settled.has(id))
  assert.deepEqual(lost, [], `${lost.length} of ${taken.size} items lost`)
  assert.ok(taken.size > KILLS)
  assert.deepEqual(readdirSync(join(directory, 'q', thisOwner())), [])
  t.diagnostic(`${taken.size} taken, ${settled.size} settled, ${found.size} recovered, ${repeated} settled ones again`)
})

test('of four processes that recover the same owners, exactly one gets each, with all items', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-race-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const writer = await startProgram(t, 'append-forever', directory, '4096')
  await until('items to be taken', () => writer.printed().includes('+'))
  await writer.kill()
  const [owner = ''] = listOwners(directory, 'q')
  for (let number = 1; number < OWNERS; number++) {
    const another = owner.replace(/-\d+\./, `-${number}.`)
    cpSync(join(directory, 'q', owner), join(directory, 'q', another), { recursive: true })
  }
  const racers = await Promise.all([1, 2, 3, 4].map(() => startProgram(t, 'recover-all', directory)))
  const ended = racers.map(({ process }) => new Promise((resolve) => process.once('close', resolve)))
  for (const { process } of racers) process.stdin?.write('go\n')
  await within('the race to end', Promise.all(ended))

  const wins = racers.flatMap((racer) => racer.printed().trim().split('\n').slice(1))
  const owners = wins.map((win) => win.split(' ')[0])
  assert.equal(owners.length, OWNERS)
  assert.equal(new Set(owners).size, OWNERS)
  const counts = new Set(wins.map((win) => win.split(' ')[1]))
  assert.equal(counts.size, 1, `all have the same items: ${[...counts].join(', ')}`)
  const winners = racers.filter((racer) => racer.printed().trim().split('\n').length > 1)
  t.diagnostic(`${winners.length} of 4 processes won something`)
})
