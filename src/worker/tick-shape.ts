import { executionAsyncResource } from 'node:async_hooks'

const kept: object[] = []

/**
 * Keeps alive the shape (V8's map) of the objects that `process.nextTick` makes. V8 forgets a shape of which no object is left at a full collection, and the next one is
 * another; Node writes these objects with computed names (`{ [id]: … }`), and for those V8 remembers one shape only and calls its runtime for ever once it has met a second.
 * A collection while a process boots or rests can so make every tick several times as dear for the rest of its life, and a request through Fastify a fifth.
 */
export function keepTickShape(): void {
  process.nextTick(() => {
    kept[0] = executionAsyncResource()
  })
}
