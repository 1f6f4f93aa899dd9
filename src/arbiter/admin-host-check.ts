import { isIP } from 'node:net'

/**
 * Whether a request with this `Host` header may be answered. A web page can make its visitor's browser ask any server that the browser
 * reaches, under a name of the page's own (DNS rebinding); what it cannot do is ask under an IP address and read the answer. So addresses
 * (a kubelet's probe, Prometheus, a person), `localhost` and the host the server was told to bind are answered, other names are not,
 * unless the server was bound to every address: then it is meant to be found under names nobody told it.
 */
export function isHostAllowed(header: string | undefined, boundHost: string): boolean {
  // HTTP/1.0 needs no Host, and browsers always send one.
  if (header === undefined || header === '') return true
  if (boundHost === '0.0.0.0' || boundHost === '::' || boundHost === '') return true
  const name = hostName(header)
  if (name === null) return false
  return isIP(name) !== 0 || name === 'localhost' || name.endsWith('.localhost') || name === boundHost.toLowerCase()
}

/** The name without port and brackets, in lower case; null if it is none. */
function hostName(header: string): string | null {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]/@\s]+?)\.?)(?::\d{1,5})?$/i.exec(header)
  return (match?.[1] ?? match?.[2] ?? null)?.toLowerCase() ?? null
}
