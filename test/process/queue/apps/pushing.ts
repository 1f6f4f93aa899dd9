// Pushes numbered items as fast as it can. Logs each persisted and each handled item.
//
// pushing.ts <state directory> <acknowledged> <handled> <run>
// pushing.ts <state directory> - <handled> -   (only delivers, and exits)
import { openSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { durableQueue } from '../../../../src/queue/durable-queue.ts'
import { appendLines } from './whole-lines.ts'

const [stateDir = '', acknowledged = '', handled = '', run = ''] = process.argv.slice(2)
const PAYLOAD = 'x'.repeat(150)
/** Items between two turns of the loop, and the depth at which pushing pauses. */
const BURST = 100
const MOST_WAITING = 20_000

interface Item {
  readonly run: string
  readonly n: number
  readonly payload: string
}

const log = durableQueue<Item>(
  'kills',
  (items, { ids }) => {
    appendLines(
      handled,
      items.map(({ run: of, n }, index) => `${ids[index]} ${of} ${n}`),
    )
  },
  { stateDir, maxItems: 100_000, linger: '5ms', onEvent: ({ message }) => console.log(message) },
)

if (run === '-') {
  do await log.flush('20s')
  while (log.stats().depth > 0)
  await log.close()
} else {
  const file = openSync(acknowledged, 'a')
  for (let n = 0; ; n++) {
    if (log.push({ run, n, payload: PAYLOAD }) === 'persisted') appendLines(file, [`${run} ${n}`])
    if (n === 0) console.log('pushing')
    if (n % BURST !== 0) continue
    do await setImmediate()
    while (log.stats().depth > MOST_WAITING)
  }
}
