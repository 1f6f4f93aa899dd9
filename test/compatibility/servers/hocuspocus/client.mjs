import assert from 'node:assert/strict'
import { HocuspocusProvider, HocuspocusProviderWebsocket } from '@hocuspocus/provider'
import { WebSocket } from 'ws'
import * as Y from 'yjs'

const [, , url] = process.argv
const open = (name) => {
  const websocketProvider = new HocuspocusProviderWebsocket({ url: url.replace('http', 'ws'), WebSocketPolyfill: WebSocket })
  const provider = new HocuspocusProvider({ websocketProvider, name, document: new Y.Doc() })
  provider.attach()
  return new Promise((resolve) => provider.on('synced', () => resolve({ provider, websocketProvider })))
}
const name = `document-${process.pid}`
const clients = await Promise.all([open(name), open(name), open(name), open(name)])
const [first, ...others] = clients
const heard = others.map(
  ({ provider }) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error('no update arrived within 10 s')), 10_000)
      provider.document.getText('t').observe((event) => {
        clearTimeout(timer)
        resolve(event.target.toString())
      })
    }),
)
first.provider.document.getText('t').insert(0, 'hello')
assert.deepEqual(await Promise.all(heard), ['hello', 'hello', 'hello'])
for (const { provider, websocketProvider } of clients) {
  provider.destroy()
  websocketProvider.destroy()
}
process.exit()
