// node recover-all.ts <directory>: after a line on stdin, recovers all owners it can, and prints
// each with the number of its items.
import { once } from 'node:events'
import { isOwnerAlive, listOwners, thisOwner } from '../../../../src/queue/spool/owner.ts'
import { recoverSpool } from '../../../../src/queue/spool/recovery-reader.ts'

const [directory = ''] = process.argv.slice(2)
console.log('ready')
await once(process.stdin, 'data')
for (const owner of listOwners(directory, 'q')) {
  if (isOwnerAlive(owner)) continue
  const adopted = recoverSpool(directory, 'q', owner, thisOwner())
  if (adopted !== null) console.log(`${owner} ${adopted.items.length}`)
}
process.stdin.destroy()
