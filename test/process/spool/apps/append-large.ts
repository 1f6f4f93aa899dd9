// node append-large.ts <directory>: appends and settles large items without end, and prints each
// change of the spool's state.
import { setImmediate as turn } from 'node:timers/promises'
import { thisOwner } from '../../../../src/queue/spool/owner.ts'
import { Spool } from '../../../../src/queue/spool/spool.ts'
import { ulid } from '../../../../src/queue/ulid.ts'
import { ms } from '../../../../src/resilience/duration.ts'

const spool = new Spool({
  directory: process.argv[2] ?? '',
  queue: 'q',
  owner: thisOwner(),
  durability: 'process',
  syncEvery: ms(10),
  maxBytes: 1e9,
})
spool.on('state', (state) => console.log(state.state === 'ok' ? 'ok' : `degraded: ${state.reason}`))
const json = JSON.stringify('x'.repeat(4_000_000))
console.log('ready')
for (;;) {
  const place = spool.append(ulid(), json)
  if (place !== null) spool.settle([place])
  await turn()
}
