// Pushes three items and has nothing else to do.
// short-lived.ts <state directory> <handled> <well, never, exit or later>
import { appendFileSync } from 'node:fs'
import { durableQueue } from '../../../../src/queue/durable-queue.ts'

const [stateDir = '', handled = '', how = ''] = process.argv.slice(2)
const log = durableQueue<number>(
  'short-lived',
  async (items) => {
    if (how === 'never') await new Promise(() => {})
    appendFileSync(handled, items.map((item) => `${item}\n`).join(''))
  },
  {
    stateDir,
    linger: '1h',
    batch: 100,
    onEvent: ({ type, details }) => console.log(JSON.stringify({ type, details })),
  },
)
for (const item of how === 'later' ? [] : [1, 2, 3]) log.push(item)
if (how === 'exit') process.exit(0)
