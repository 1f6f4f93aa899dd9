/**
 * Patch of `EventEmitter.prototype.once`, only while a given function runs.
 *
 * Why: Fastify does not expose the avvio that boots it, but listens once for one of its events
 * while it adds routes. Without that avvio no routes can be added after the boot.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: src/adapters/fastify/internals.test.ts
 */
import { EventEmitter } from 'node:events'

/** Calls `job`, and returns the emitters on which it listened once for `event`. */
export function capturedOnce(event: string, job: () => void): readonly EventEmitter[] {
  const prototype = EventEmitter.prototype
  const { once } = prototype
  const captured: EventEmitter[] = []
  prototype.once = function (this: EventEmitter, name: string | symbol, listener: (...args: unknown[]) => void) {
    if (name === event) captured.push(this)
    return once.call(this, name, listener)
  } as typeof once
  try {
    job()
  } finally {
    prototype.once = once
  }
  return captured
}
