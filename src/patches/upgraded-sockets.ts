/**
 * Patch of `write` of single sockets: those of WebSockets.
 *
 * Why: a draining worker closes WebSockets with a close frame, which must not follow that of the
 * app or be in the middle of a frame. Node has no event for what is written.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: test/compatibility/habits/farewell.test.ts
 */
import type net from 'node:net'
import type { Connection } from '../http/scope.ts'
import { WebSocketFrames } from '../http/web-socket-frames.ts'
import { defineMethod } from './patch-function.ts'

type Write = (this: net.Socket, chunk: unknown, encoding?: unknown, callback?: unknown) => boolean

export function followFrames(connection: Connection | null): void {
  if (connection?.upgradeProtocol !== 'websocket' || connection.frames !== null) return
  const { socket } = connection
  const frames = new WebSocketFrames()
  connection.frames = frames
  const write = socket.write as Write
  defineMethod(
    socket,
    'write',
    function (this: net.Socket, chunk: unknown, encoding?: unknown, callback?: unknown): boolean {
      if (typeof chunk === 'string') {
        frames.wrote(Buffer.from(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8'))
      } else if (chunk instanceof Uint8Array) {
        frames.wrote(chunk)
      }
      return write.call(this, chunk, encoding, callback)
    },
  )
}
