import type { Socket } from 'node:net'
import { UnnamedWait } from './unnamed-waits.ts'

/** What an outgoing call is told by. */
export interface CallTarget {
  readonly method: string
  readonly secure: boolean
  /** As in a URL: `api.example.com`, `[::1]`. */
  readonly hostname: string
  readonly port: number
  /** A query string is left out: it may hold secrets, and says little. */
  readonly path: string
}

const USUAL_PORT = { http: 80, https: 443 }

/** An HTTP request to somebody else, until its answer has been read. */
export abstract class OutgoingCall extends UnnamedWait {
  readonly #target: CallTarget

  constructor(target: CallTarget) {
    super()
    this.#target = target
  }

  /** Whether the head of the answer has come, so that it is the body that is waited for. */
  protected abstract get answered(): boolean

  /** The socket it goes over, where that is known. */
  abstract get socket(): Socket | null

  get host(): string {
    return bare(this.#target.hostname)
  }

  get port(): number {
    return this.#target.port
  }

  /** `GET api.example.com/users (http)` */
  tell(beneath?: string): string {
    const { method, secure, hostname, port, path } = this.#target
    const scheme = secure ? 'https' : 'http'
    const phase = this.answered ? 'body' : beneath
    const place = port === USUAL_PORT[scheme] ? hostname : `${hostname}:${port}`
    return `${method} ${place}${withoutQuery(path)} (${phase === undefined ? scheme : `${scheme}, ${phase}`})`
  }
}

/** @param host with a port or without, as in a `Host` header */
export function callTarget(method: string, secure: boolean, host: string, path: string): CallTarget {
  const match = /^(\[[^\]]*\]|[^:]*)(?::(\d+))?$/.exec(host)
  const usual = USUAL_PORT[secure ? 'https' : 'http']
  return { method, secure, hostname: match?.[1] ?? host, port: Number(match?.[2] ?? usual), path }
}

function bare(hostname: string): string {
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
}

function withoutQuery(path: string): string {
  const end = path.search(/[?#]/)
  return end === -1 ? path : path.slice(0, end)
}
