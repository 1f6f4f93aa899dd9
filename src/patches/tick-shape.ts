/**
 * Keeps one internal object of `process.nextTick` alive; nothing is replaced.
 *
 * Why: Node creates these objects with computed names (`{ [id]: … }`), for which V8 remembers one
 * shape (map) only. A full collection during which no such object exists drops that shape; the next
 * object gets another one, and V8 then calls its runtime for each of them. Every tick becomes
 * several times slower for the life of the process, and a request through Fastify a fifth.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: src/patches/tick-shape.test.ts
 */
import { executionAsyncResource } from 'node:async_hooks'

const kept: object[] = []

export function keepTickShape(): void {
  process.nextTick(() => {
    kept[0] = executionAsyncResource()
  })
}
