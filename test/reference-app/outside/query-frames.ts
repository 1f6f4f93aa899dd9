/** In place of a version: a request to cancel, which is a connection of its own; and questions whether to encrypt, after which all begins anew. */
const CANCEL = 80877102
const ENCRYPT: ReadonlySet<number> = new Set([80877103, 80877104])
/** The first byte of a TLS handshake. A start-up message begins with its length, so with a zero. */
const TLS_HANDSHAKE = 0x16

export interface Frame {
  readonly bytes: Buffer
  /** With this the client asks for an answer: one query. */
  readonly isQuery: boolean
}

/**
 * Cuts what a PostgreSQL client sends into the messages of the protocol (the chapter "Message Formats" of its manual). A query is a `Query` message,
 * or the `Sync` at the end of `Parse`, `Bind`, `Execute`. An encrypted stream cannot be read, and passes as it comes.
 */
export async function* queryFrames(source: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  let rest: Buffer = Buffer.alloc(0)
  let phase: 'starting' | 'typed' | 'opaque' = 'starting'
  for await (const chunk of source) {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk])
    if (phase === 'starting' && rest[0] === TLS_HANDSHAKE) phase = 'opaque'
    while (phase !== 'opaque') {
      // Only the first message has no byte for its type.
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
