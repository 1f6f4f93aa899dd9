import type { ServerResponse } from 'node:http'

/** Bodies whose first part may come at any time. */
const STREAM_TYPE = /^(?:text\/event-stream|multipart\/x-mixed-replace|application\/(?:x-)?ndjson)/i
const COMPRESSED = /^(?:gzip|deflate|br|zstd)/i
const CONTENT_ENCODING = /\r\ncontent-encoding: *([^\r]*)/i
const CONTENT_TYPE = /\r\ncontent-type: *([^\r]*)/i

/** Whether its head says that a response is a stream of events. */
export function saysEventStream(response: ServerResponse): boolean {
  return /^text\/event-stream/i.test(typeIn(headOf(response) ?? ''))
}

/** Whether a response has been given the headers of a stream, whose first part may come late. */
export function isStream(response: ServerResponse): boolean {
  const head = headOf(response)
  if (head !== null) return STREAM_TYPE.test(typeIn(head))
  // A stream of HTTP/2 sends its head at once.
  if (typeof response.getHeader !== 'function') return false
  return STREAM_TYPE.test(String(response.getHeader('content-type')))
}

/**
 * Whether a response has been given the header of a compressed one. Some middleware sets it before
 * there is anything to compress.
 */
export function isCompressed(response: ServerResponse): boolean {
  const head = headOf(response)
  if (head !== null) return COMPRESSED.test(CONTENT_ENCODING.exec(head)?.[1] ?? '')
  if (typeof response.getHeader !== 'function') return false
  return COMPRESSED.test(String(response.getHeader('content-encoding')))
}

function typeIn(head: string): string {
  return CONTENT_TYPE.exec(head)?.[1] ?? ''
}

/** The head that was written (`writeHead`); null if there is none. */
function headOf(response: ServerResponse): string | null {
  const { _header: head } = response as ServerResponse & { readonly _header?: unknown }
  return typeof head === 'string' ? head : null
}
