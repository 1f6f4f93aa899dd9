import assert from 'node:assert/strict'
import { it } from 'node:test'
import { whyNoHandler } from './request-handler.ts'

it('functions of a request and a response are handlers, under any name', () => {
  const handlers: readonly ((...args: never[]) => unknown)[] = [
    (_request: unknown, _response: unknown) => {},
    async (_q: unknown, _s: unknown) => {},
    (_request: unknown) => {},
    (..._args: unknown[]) => {},
    function handle() {
      // biome-ignore lint/complexity/noArguments: old code uses it.
      return arguments
    },
    function app(_q: unknown, _s: unknown, _next: unknown) {},
    function app(_q: unknown, _s: unknown) {}.bind(null),
    new Proxy((_request: unknown) => {}, {}),
  ]
  for (const handler of handlers) assert.equal(whyNoHandler(handler), null, String(handler).slice(0, 80))
})

it('a class, a factory or a plugin is none', () => {
  function OldClass(this: unknown): void {}
  OldClass.prototype.start = () => {}
  const marked = Object.assign((_a: unknown) => {}, { [Symbol.for('skip-override')]: true })
  assert.equal(whyNoHandler(class App {}), 'a class')
  assert.equal(whyNoHandler(OldClass), 'a class')
  assert.equal(
    whyNoHandler(() => ({})),
    'a factory',
  )
  assert.equal(
    whyNoHandler(function createServer() {}),
    'a factory',
  )
  assert.equal(whyNoHandler((_options: unknown) => {}) ?? whyNoHandler((options: unknown) => options), 'a factory')
  assert.equal(
    whyNoHandler(({ port }: { port: number }) => port),
    'a factory',
  )
  assert.equal(
    whyNoHandler(async (fastify: unknown, opts: unknown) => [fastify, opts]),
    'a plugin',
  )
  assert.equal(whyNoHandler(marked), 'a plugin')
})
