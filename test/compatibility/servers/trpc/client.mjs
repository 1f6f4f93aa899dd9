import assert from 'node:assert/strict'
import { createTRPCClient, createWSClient, wsLink } from '@trpc/client'
import { WebSocket } from 'ws'

const [, , url] = process.argv
globalThis.WebSocket ??= WebSocket
const socket = createWSClient({ url: url.replace('http', 'ws') })
const client = createTRPCClient({ links: [wsLink({ client: socket })] })
assert.equal(await client.hello.query(), 'hello')
assert.equal(await client.double.mutate(21), 42)
const seen = []
await new Promise((resolve, reject) => {
  const subscription = client.count.subscribe(undefined, {
    onData: (value) => {
      seen.push(value)
      if (seen.length < 4) return
      subscription.unsubscribe()
      resolve()
    },
    onError: reject,
  })
})
assert.deepEqual(seen, [0, 1, 2, 3])
await socket.close()
