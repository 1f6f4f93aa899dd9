import net from 'node:net'

/** Whether a list of hosts has a name or an address; `all` has every one. */
export function matchHosts(hosts: readonly string[]): ((host: string) => boolean) | null {
  if (hosts.length === 0) return null
  if (hosts[0] === 'all') return () => true
  const names = new Set(hosts)
  const suffixes = hosts.filter((host) => host.startsWith('*.')).map((host) => host.slice(1))
  const networks = networksOf(hosts)
  return (host) => {
    const name = host.toLowerCase()
    if (names.has(name) || suffixes.some((suffix) => name.endsWith(suffix))) return true
    return networks.check(name, net.isIPv6(name) ? 'ipv6' : 'ipv4')
  }
}

/**
 * Whether a caller, by its address, is in a list of hosts. Names are resolved now, once; until then
 * they match nothing. Null if every caller is.
 */
export function matchCallers(hosts: readonly string[]): ((socket: net.Socket) => boolean) | null {
  if (hosts[0] === 'all') return null
  const networks = networksOf(hosts)
  const hasUnix = hosts.includes('unix')
  for (const host of hosts) {
    if (host === 'unix' || host.includes('/') || host.startsWith('*') || net.isIP(host) !== 0) continue
    process.getBuiltinModule('node:dns').lookup(host, { all: true }, (_, found) => {
      for (const { address, family } of found ?? []) networks.addAddress(address, family === 6 ? 'ipv6' : 'ipv4')
    })
  }
  return ({ remoteAddress }) => {
    if (remoteAddress === undefined || remoteAddress === '') return hasUnix
    const address = remoteAddress.startsWith('::ffff:') ? remoteAddress.slice(7) : remoteAddress
    return networks.check(address, net.isIPv6(address) ? 'ipv6' : 'ipv4')
  }
}

function networksOf(hosts: readonly string[]): net.BlockList {
  const networks = new net.BlockList()
  for (const host of hosts) {
    const [address = '', bits] = host.split('/')
    const version = net.isIP(address)
    if (version === 0) continue
    const family = version === 6 ? 'ipv6' : 'ipv4'
    if (bits === undefined) networks.addAddress(address, family)
    else networks.addSubnet(address, Math.min(Number(bits), version === 6 ? 128 : 32), family)
  }
  return networks
}
