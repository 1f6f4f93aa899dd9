import assert from 'node:assert/strict'
import { AsyncLocalStorage } from 'node:async_hooks'
import { Agent, createServer, get } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { until } from '../../test/process/support/until.ts'
import { forgetRequests } from './idle-timer.ts'

test('a connection at rest does not hold on to the request that was served last', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const storage = new AsyncLocalStorage<object>()
  const served: WeakRef<object>[] = []
  const server = createServer((_request, response) => {
    const store = {}
    served.push(new WeakRef(store))
    storage.run(store, () => response.end('done'))
  })
  server.on('connection', forgetRequests)
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const agent = new Agent({ keepAlive: true })
  try {
    const { port } = server.address() as AddressInfo
    await new Promise<void>((ended, failed) => {
      get({ port, host: '127.0.0.1', agent }, (response) => response.resume().once('end', ended)).once('error', failed)
    })
    await until('the request to be forgotten', () => {
      collect()
      return served[0]?.deref() === undefined
    })
    assert.equal(Object.keys(agent.freeSockets).length, 1, 'its connection is open still')
  } finally {
    agent.destroy()
    server.close()
  }
})
