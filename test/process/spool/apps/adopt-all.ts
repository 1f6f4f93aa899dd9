// node adopt-all.ts <directory>: once told to on stdin, adopts whatever it gets, and prints each owner with the number of its items.
import { once } from 'node:events'
import { adopt, listOwners } from '../../../../src/queue/spool/adopt.ts'
import { isOwnerAlive, thisOwner } from '../../../../src/queue/spool/owner.ts'

const [directory = ''] = process.argv.slice(2)
console.log('ready')
await once(process.stdin, 'data')
for (const owner of listOwners(directory, 'q')) {
  if (isOwnerAlive(owner)) continue
  const adopted = adopt(directory, 'q', owner, thisOwner())
  if (adopted !== null) console.log(`${owner} ${adopted.items.length}`)
}
process.stdin.destroy()
