import type { CancelTarget } from './cancel-request.ts'
import type { PgClient } from './pg-shape.ts'

/**
 * Where to send a cancel for this connection: to the address it really has, since a name may lead elsewhere by now, or to each server in turn.
 * Undefined when the server, or the driver, has told no key.
 */
export function cancelTarget(client: PgClient): CancelTarget | undefined {
  const { processID, secretKey, host, port, ssl, sslNegotiation, connection } = client
  if (processID === null || secretKey === null) return undefined
  const { remoteAddress, remotePort } = connection.stream
  const resolved = remoteAddress !== undefined && remotePort !== undefined
  return {
    host: resolved ? remoteAddress : host,
    port: resolved ? remotePort : port,
    serverName: host,
    ssl,
    directTls: sslNegotiation === 'direct',
    processId: processID,
    secretKey,
  }
}
