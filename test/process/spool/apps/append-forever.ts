// node append-forever.ts <directory> <segment bytes>: appends and settles until it is killed, and
// prints each accepted id without buffering.
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
// It may be killed from here on.
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
// The items of earlier processes are not settled, and must be recovered again and again.
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
    // Printed first: a printed item may be recovered, any other must be.
    writeSync(1, settled.map(({ id }) => `-${id}\n`).join(''))
    spool.settle(settled.map(({ place }) => place))
    await turn()
  }
}
