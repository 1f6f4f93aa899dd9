/** What may stand in a log and in a header without doing harm. */
const SANE_ID = /^[\w.:+/=@-]{1,128}$/
const TRACE_PARENT = /^[\da-f]{2}-([\da-f]{32})-[\da-f]{16}-[\da-f]{2}/
const NO_TRACE = '0'.repeat(32)

/**
 * The id of a request: its `X-Request-Id`, or the trace id of its `traceparent` (W3C Trace Context), if sane; else a new one of 128 random bits.
 *
 * @param rawHeaders names and values in turn, as Node keeps them: `headers` would be built anew for every request
 */
export function requestId(rawHeaders: readonly string[]): string {
  let trace: string | undefined
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string
    if (name.length === 12 && name.toLowerCase() === 'x-request-id') {
      const id = rawHeaders[index + 1] as string
      if (SANE_ID.test(id)) return id
    } else if (name.length === 11 && name.toLowerCase() === 'traceparent') {
      trace = TRACE_PARENT.exec(rawHeaders[index + 1] as string)?.[1]
    }
  }
  return trace !== undefined && trace !== NO_TRACE ? trace : newId()
}

const pool = Buffer.alloc(16 * 64)
let at = pool.length

function newId(): string {
  if (at === pool.length) {
    // Taken when it is first needed, and without `import`, which would look at every name the module exports and so load all of Web Crypto.
    process.getBuiltinModule('node:crypto').randomFillSync(pool)
    at = 0
  }
  at += 16
  return pool.toString('hex', at - 16, at)
}
