import { beginUnnamed, unansweredRequest } from './begin-unnamed.ts'
import { UnnamedWait } from './unnamed-waits.ts'
import { type Begin, wrapCallbacks, wrapPromises } from './wrap-function.ts'

const LOOKUPS = ['lookup', 'lookupService']
const RESOLVES = [
  'resolve',
  'resolve4',
  'resolve6',
  'resolveAny',
  'resolveCaa',
  'resolveCname',
  'resolveMx',
  'resolveNaptr',
  'resolveNs',
  'resolvePtr',
  'resolveSoa',
  'resolveSrv',
  'resolveTlsa',
  'resolveTxt',
  'reverse',
]

/** A host's name, or address, is looked up. */
export class LookupWait extends UnnamedWait {
  readonly host: string
  /** It says so itself. */
  readonly over = false

  constructor(host: string) {
    super()
    this.host = host
  }

  tell(): string {
    return `looking up ${this.host}`
  }
}

/** Look-ups of `node:dns`, by the system's resolver or by Node's own. */
export function hookLookups(): void {
  const dns = process.getBuiltinModule('node:dns')
  const begin: Begin = (_, [host]) => {
    if (typeof host !== 'string') return null
    const scope = unansweredRequest()
    if (scope === undefined) return null
    const wait = new LookupWait(host)
    beginUnnamed(scope, wait)
    return wait
  }
  wrapCallbacks(dns, [...LOOKUPS, ...RESOLVES], begin)
  wrapPromises(dns.promises, [...LOOKUPS, ...RESOLVES], begin)
  // `dns.setServers` takes the functions of the module anew from here.
  wrapCallbacks(dns.Resolver.prototype, RESOLVES, begin)
  wrapPromises(dns.promises.Resolver.prototype, RESOLVES, begin)
}
