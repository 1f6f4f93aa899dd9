import http from 'node:http'
import { slow } from './slow.ts'

/** An app whose loop does not turn after an interrupt, because something else is queued. */
export let turns = 0

function spin(): void {
  for (;;) turns++ // here: spin
}

function tickForEver(): void {
  turns++
  process.nextTick(tickForEver)
}

async function awaitForEver(): Promise<void> {
  for (;;) {
    turns++
    await null
  }
}

const handlers: Readonly<Record<string, () => void>> = {
  spin,
  ticks: tickForEver,
  microtasks: () => void awaitForEver(),
}

const server = http.createServer(async (request, response) => {
  const path = request.url?.slice(1) ?? ''
  handlers[path]?.()
  if (path === 'hold' || path in handlers) return
  response.end(path === 'slow' ? await slow() : 'ok')
})
server.listen(Number(process.env.PORT), process.env.HOST)
