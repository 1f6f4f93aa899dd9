/**
 * Patch of `_transform` of the class of all streams of `node:zlib`, which Node does not export.
 *
 * Why: middleware that compresses responses (compression, @fastify/compress, koa-compress) holds
 * back what the app writes until a block is full. Without this a response that the app has begun,
 * but writes slowly, would be taken for one that it has not.
 * Checked on: Node 22.23, 24.21, 26.10.
 * Test: test/compatibility/habits/long-streams.test.ts
 */
import zlib from 'node:zlib'
import { unansweredRequest } from '../http/scope.ts'
import { defineMethod } from './patch-function.ts'

type Transform = (this: unknown, ...args: unknown[]) => unknown
type Class = abstract new (...args: never[]) => unknown

/** Notes which requests compress something; those that decompress, such as a body, do not count. */
export function patchCompressors(): void {
  const { Gzip, Deflate, DeflateRaw, BrotliCompress, ZstdCompress } = zlib as unknown as Record<string, Class>
  const compressors = [Gzip, Deflate, DeflateRaw, BrotliCompress, ZstdCompress].filter((one) => one !== undefined)
  let holder: object | null = (Gzip as Class).prototype as object
  while (holder !== null && !Object.hasOwn(holder, '_transform'))
    holder = Object.getPrototypeOf(holder) as object | null
  if (holder === null) return
  const base = (holder as { _transform: Transform })._transform
  const note = (stream: unknown): void => {
    const scope = unansweredRequest()
    if (scope === undefined || scope.begun || scope.compresses) return
    if (compressors.some((one) => stream instanceof one)) scope.compresses = true
  }
  defineMethod(holder, '_transform', function (this: unknown, ...args: unknown[]): unknown {
    note(this)
    return base.apply(this, args)
  })
}
