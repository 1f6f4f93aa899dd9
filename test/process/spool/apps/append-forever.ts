// node append-forever.ts <directory> <segment bytes>: appends and settles until it is killed, and prints each id that was taken, by a write that does not wait in any buffer.
import { writeSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import { isOwnerAlive, listOwners, thisOwner } from '../../../../src/queue/spool/owner.ts'
import { recoverSpool } from '../../../../src/queue/spool/recovery-reader.ts'
import type { Place } from '../../../../src/queue/spool/segment.ts'
import { Spool } from '../../../../src/queue/spool/spool.ts'
import { ulid } from '../../../../src/queue/ulid.ts'
import { ms } from '../../../../src/resilience/duration.ts'

const [directory = '', segmentBytes = '65536'] = process.argv.slice(2)
const owner = thisOwner()
// From here on it may be killed.
writeSync(1, 'ready\n')
const spool = new Spool({
  directory,
  queue: 'q',
  owner,
  durability: 'process',
  syncEvery: ms(10),
  segmentBytes: Number(segmentBytes),
  maxBytes: 1e9,
})
// What those before it have left stays unsettled, and must pass from hand to hand.
for (const other of listOwners(directory, 'q'))
  if (!isOwnerAlive(other)) recoverSpool(directory, 'q', other, owner, { items: 1 })

const places: { id: string; place: Place }[] = []
for (let count = 0; ; count++) {
  const id = ulid()
  const place = spool.append(id, `{"id":"${id}","filler":"${'x'.repeat(count % 300)}"}`)
  if (place !== null) {
    writeSync(1, `+${id}\n`)
    places.push({ id, place })
  }
  if (count % 50 === 49) {
    const settled = places.splice(0, 25)
    // Told before it is done: what is told as settled may come back, what is not must.
    writeSync(1, settled.map(({ id }) => `-${id}\n`).join(''))
    spool.settle(settled.map(({ place }) => place))
    await turn()
  }
}
