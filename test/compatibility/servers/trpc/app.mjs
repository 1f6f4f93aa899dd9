import { initTRPC } from '@trpc/server'
import { createHTTPServer } from '@trpc/server/adapters/standalone'
import { applyWSSHandler } from '@trpc/server/adapters/ws'
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocketServer } from 'ws'

const t = initTRPC.create()
const router = t.router({
  hello: t.procedure.query(() => 'hello'),
  double: t.procedure.input((value) => Number(value)).mutation(({ input }) => input * 2),
  count: t.procedure.subscription(async function* ({ signal }) {
    for (let i = 0; !signal.aborted; i++) {
      yield i
      await sleep(50)
    }
  }),
  spin: t.procedure.query(() => {
    for (const end = Date.now() + 20_000; Date.now() < end; );
    return 'spun'
  }),
})
const http = createHTTPServer({ router })
const sockets = new WebSocketServer({ server: http })
const handler = applyWSSHandler({ wss: sockets, router })
http.listen(Number(process.env.PORT))
process.on('SIGTERM', () => {
  handler.broadcastReconnectNotification()
  sockets.close()
  for (const socket of sockets.clients) socket.close()
  http.close(() => console.log('clean-up done'))
})
