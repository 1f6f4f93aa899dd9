// Handles a hundred items, one of which kills its process. deadly.ts <state directory> <handled>
import { appendFileSync } from 'node:fs'
import { durableQueue } from '../../../../src/queue/durable-queue.ts'

const [stateDir = '', handled = '', first] = process.argv.slice(2)
const log = durableQueue<number>(
  'deadly',
  (items) => {
    if (items.includes(42)) process.kill(process.pid, 'SIGKILL')
    appendFileSync(handled, items.map((item) => `${item}\n`).join(''))
  },
  { stateDir, onEvent: () => {} },
)
if (first === 'first') for (let n = 0; n < 100; n++) log.push(n)
await log.flush('20s')
await log.close()
