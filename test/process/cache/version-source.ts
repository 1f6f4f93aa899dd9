import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'

/** A source that responds after a random delay with the version it had at the request. */
export class VersionSource {
  readonly versions: Map<string, number> = new Map()
  readonly #server: Server = createServer(async (request, response) => {
    const version = this.versions.get((request.url ?? '').slice(1)) ?? 0
    await sleep(Math.random() * 30)
    response.end(String(version))
  })

  /** @returns its URL */
  async open(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}
