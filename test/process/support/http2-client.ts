import http2 from 'node:http2'

const NGHTTP2_REFUSED_STREAM = 7
/** In milliseconds. A worker may take long to boot on a busy machine. */
const CALL_TIMEOUT = 60_000

export interface Answer {
  /** 0 if there was no response. */
  readonly status: number
  readonly body: string
  /** With which the stream was closed. */
  readonly code: number
}

/** Sends one request on this session; a path that ends in `/body` gets a POST. */
export function getOn(session: http2.ClientHttp2Session, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const isPost = path.endsWith('/body')
    const stream = session.request({ ':path': path, ':method': isPost ? 'POST' : 'GET' }, { endStream: !isPost })
    let status = 0
    let body = ''
    stream.setEncoding('utf8')
    stream.setTimeout(CALL_TIMEOUT, () => reject(new Error(`no answer to ${path}`)))
    stream.on('response', (headers) => {
      status = Number(headers[':status'])
    })
    stream.on('data', (chunk: string) => {
      body += chunk
    })
    // Its code is the one of the stream.
    stream.on('error', () => {})
    stream.on('close', () => resolve({ status, body, code: stream.rstCode ?? -1 }))
    if (isPost) stream.end('body')
  })
}

/** One session, and a new one after the server has closed it. */
export class SessionPool {
  readonly #origin: string
  #session: http2.ClientHttp2Session | null = null

  constructor(origin: string) {
    this.#origin = origin
  }

  async get(path: string): Promise<string> {
    if (this.#session === null || this.#session.closed || this.#session.destroyed) {
      this.#session = http2.connect(this.#origin)
      this.#session.on('error', () => {})
    }
    const { status, body, code } = await getOn(this.#session, path)
    // It was not processed, and may be sent again (RFC 9113, 8.7). gRPC does that itself.
    if (code === NGHTTP2_REFUSED_STREAM) return this.get(path)
    return status === 200 && code === 0 ? body : `${status} ${code} ${body}`
  }

  close(): void {
    this.#session?.close()
  }
}
