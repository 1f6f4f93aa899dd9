import type { IncomingMessage } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { ms } from '../../../src/resilience/duration.ts'
import { AppError } from '../app-error.ts'
import { within } from '../guardian/wait-until.ts'
import type { FaultStatus, Faults } from './faults.ts'

export interface FaultControl {
  status(): FaultStatus
  order(faults: Faults): Promise<void>
}

export interface ControlServer {
  readonly url: string
  close(): Promise<void>
}

/** Longer than waiting for a lock and connecting for it. */
const ORDER_TIMEOUT = ms(20_000)

/**
 * Serves the orders of workers on a free port of this machine: `GET`, `PUT` and `DELETE /`, each
 * with the active faults as response, or 409 with a reason and a code. `/try/faults` has validated
 * the body.
 */
export async function startControlServer(control: FaultControl): Promise<ControlServer> {
  const server = createServer((request, response) => {
    const answer = (status: number, body: object): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }
    handle(control, request).then(
      () => answer(200, control.status()),
      (error: unknown) =>
        answer(409, {
          reason: error instanceof Error ? error.message : String(error),
          code: error instanceof AppError ? error.code : 'FAULT_FAILED',
        }),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function handle(control: FaultControl, request: IncomingMessage): Promise<void> {
  if (request.method === 'GET') return
  const faults = request.method === 'PUT' ? ((await json(request)) as Faults) : {}
  await within(ORDER_TIMEOUT, 'ordering the fault', control.order(faults))
}
