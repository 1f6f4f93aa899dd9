import { parentPort, workerData } from 'node:worker_threads'
import { ThreadConnection } from './thread-connection.ts'
import type { FromThread, ThreadData, ToThread } from './thread-protocol.ts'

const port = parentPort
if (port === null) throw new Error('thread.ts is the entry of the worker threads that openSqlite starts')

const connection = new ThreadConnection(workerData as ThreadData)

port.on('message', (message: ToThread) => {
  if (message.kind === 'close') {
    connection.close()
    port.close()
    return
  }
  const reply = message.kind === 'more' ? connection.continue() : connection.start(message)
  port.postMessage({ reply, inTransaction: connection.inTransaction } satisfies FromThread)
})
