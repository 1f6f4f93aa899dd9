/**
 * In place of a version: a cancel request, which has a connection of its own, or an encryption
 * request, after which the startup begins again.
 */
const CANCEL = 80877102
const ENCRYPT: ReadonlySet<number> = new Set([80877103, 80877104])
/** The first byte of a TLS handshake. A startup message begins with its length, so with a zero. */
const TLS_HANDSHAKE = 0x16

export interface Frame {
  readonly bytes: Buffer
  /** Whether the client expects a response: one query. */
  readonly isQuery: boolean
}

/**
 * Splits the stream of a PostgreSQL client into protocol messages (see "Message Formats" in its
 * manual). A query is a `Query` message, or the `Sync` after `Parse`, `Bind`, `Execute`. An
 * encrypted stream passes unchanged.
 */
export async function* queryFrames(source: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  let rest: Buffer = Buffer.alloc(0)
  let phase: 'starting' | 'typed' | 'opaque' = 'starting'
  for await (const chunk of source) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    if (phase === 'starting' && rest[0] === TLS_HANDSHAKE) phase = 'opaque'
    while (phase !== 'opaque') {
      // Only the first message has no type byte.
      const header = phase === 'typed' ? 1 : 0
      if (rest.length < header + 4) break
      const length = header + rest.readInt32BE(header)
      if (length < header + 4) {
        phase = 'opaque'
        break
      }
      if (rest.length < length) break
      const bytes = rest.subarray(0, length)
      rest = rest.subarray(length)
      const type = phase === 'typed' ? String.fromCharCode(bytes[0] ?? 0) : ''
      if (phase === 'starting') phase = phaseAfter(bytes)
      yield { bytes, isQuery: type === 'Q' || type === 'S' }
    }
    if (phase === 'opaque' && rest.length > 0) {
      yield { bytes: rest, isQuery: false }
      rest = Buffer.alloc(0)
    }
  }
  if (rest.length > 0) yield { bytes: rest, isQuery: false }
}

function phaseAfter(start: Buffer): 'starting' | 'typed' | 'opaque' {
  const version = start.length >= 8 ? start.readInt32BE(4) : 0
  if (ENCRYPT.has(version)) return 'starting'
  return version === CANCEL ? 'opaque' : 'typed'
}
