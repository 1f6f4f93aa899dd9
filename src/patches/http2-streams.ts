/**
 * Patch of `emit`, `respond`, `respondWithFD`, `respondWithFile`, `additionalHeaders` and `close`
 * of the class of streams of an HTTP/2 server, with the first of them: Node does not export it.
 *
 * Why: apps and gRPC libraries use streams without the compatibility API (`server.on('stream')`).
 * Node emits the events of a stream in the context of its session, outside of any request; and says
 * in no event that a response begins.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: test/compatibility/habits/http2.test.ts
 */
import type { EventEmitter } from 'node:events'
import type { OutgoingHttpHeaders, ServerHttp2Stream, ServerStreamResponseOptions } from 'node:http2'
import { waitsForTrailers } from '../http/http2-stream.ts'
import { type RequestScope, runInScope, runningRequest, scopeOf } from '../http/scope.ts'
import type { Traffic } from '../http/traffic.ts'
import { defineMethod } from './patch-function.ts'

type Stream = ServerHttp2Stream & { readonly [scopeOf]?: RequestScope; [waitsForTrailers]?: boolean }
type Method = (this: Stream, ...args: unknown[]) => unknown

/** NO_ERROR and CANCEL (RFC 9113, 7). */
const ORDERLY_ENDS: readonly unknown[] = [undefined, 0, 8]

/** The status of an interim response: the request has arrived, and takes long. */
const PROCESSING = 102

let isPatched = false

/** Patches the class of this stream, once. */
export function patchStreams(stream: ServerHttp2Stream, traffic: Traffic): void {
  if (isPatched) return
  isPatched = true
  let prototype = Object.getPrototypeOf(stream) as object
  while (prototype !== null && !Object.hasOwn(prototype, 'respond')) prototype = Object.getPrototypeOf(prototype)
  if (prototype === null) return
  const methods = prototype as Record<string, Method>

  patchEmit(prototype as EventEmitter, traffic)
  for (const name of ['respond', 'respondWithFD', 'respondWithFile']) {
    const respond = methods[name] as Method
    // The options are the second argument of `respond`, and the third of the others.
    const at = name === 'respond' ? 1 : 2
    defineMethod(prototype, name, function (this: Stream, ...args: unknown[]): unknown {
      const scope = this[scopeOf]
      if (scope !== undefined && !scope.begun) {
        const options = args[at] as ServerStreamResponseOptions | undefined
        this[waitsForTrailers] = options?.waitForTrailers === true
        traffic.streaming(scope)
      }
      return respond.apply(this, args)
    })
  }
  const additionalHeaders = methods.additionalHeaders as Method
  defineMethod(prototype, 'additionalHeaders', function (this: Stream, ...args: unknown[]): unknown {
    const scope = this[scopeOf]
    const headers = args[0] as OutgoingHttpHeaders | undefined
    if (scope !== undefined && Number(headers?.[':status']) === PROCESSING) traffic.deadlines.stillWorking(scope)
    return additionalHeaders.apply(this, args)
  })
  const close = methods.close as Method
  defineMethod(prototype, 'close', function (this: Stream, ...args: unknown[]): unknown {
    const scope = this[scopeOf]
    // By the app, which gives up.
    if (scope !== undefined && !this.closed && !ORDERLY_ENDS.includes(args[0])) scope.forcedOutcome ??= 'failed'
    return close.apply(this, args)
  })
}

function patchEmit(prototype: EventEmitter, { table }: Traffic): void {
  const base = prototype.emit as (this: EventEmitter, ...args: unknown[]) => boolean
  const emitScoped = (scope: RequestScope, stream: Stream, args: readonly unknown[]): boolean => {
    const outer = table.running
    table.running = scope.sequence
    const heard = base.apply(stream, args as unknown[])
    table.running = outer
    return heard
  }
  defineMethod(prototype, 'emit', function emit(this: Stream, ...args: unknown[]): boolean {
    const scope = this[scopeOf]
    const isOutside = scope !== undefined && runningRequest() !== scope && this.listenerCount(args[0] as string) > 0
    return isOutside ? runInScope(scope, emitScoped, this, args) : base.apply(this, args)
  })
}
