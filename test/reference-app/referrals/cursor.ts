import type { Position } from './contract.ts'
import { LARGEST_ID } from './schemas.ts'

/** The latest instant in JavaScript, in milliseconds. */
const LATEST = 8_640_000_000_000_000

/** Encodes a position as an opaque cursor. */
export function writeCursor({ createdAt, id }: Position): string {
  return Buffer.from(`${createdAt.getTime()} ${id}`).toString('base64url')
}

/** Decodes a cursor; undefined if it is invalid. */
export function readCursor(cursor: string): Position | undefined {
  const text = Buffer.from(cursor, 'base64url').toString('latin1')
  const [, time = '', id = ''] = /^(\d{1,16}) (\d{1,10})$/.exec(text) ?? []
  if (time === '' || Number(time) > LATEST || Number(id) > LARGEST_ID) return undefined
  return { createdAt: new Date(Number(time)), id: Number(id) }
}
