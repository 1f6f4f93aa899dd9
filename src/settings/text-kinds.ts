import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { nearestName } from '../errors/check-options.ts'
import { accepted, type Kind, refused, type SettingContext, wordKind } from './kind.ts'

/** One of a few words. `words` may differ from the values: `read` turns `auto` into one of them. */
export function choiceKind<T extends string, W extends string = T>(
  words: readonly W[],
  read: (word: W, context: SettingContext) => T,
): Kind<T> {
  const accepts = words.join(', ')
  return wordKind({
    label: words.length <= 4 ? words.join('|') : 'level',
    accepts,
    format: (value) => value,
    parse(word, context) {
      const known = words.find((candidate) => candidate === word)
      if (known !== undefined) return accepted(read(known, context))
      const nearest = nearestName(word, words)
      const hint = nearest === undefined ? '' : `did you mean ${nearest}? `
      const facts = nearest === undefined ? {} : { suggestion: nearest }
      return refused('invalid', `"${word}" is not a known value`, `${hint}use one of ${accepts}`, facts)
    },
  })
}

const HOST_NAME = /^(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?$/i

/** An address to listen on: an IP address or a host name, without scheme and port. */
export const hostKind: Kind<string> = wordKind({
  label: 'host',
  accepts: 'an IP address or a host name (0.0.0.0, 127.0.0.1, ::, localhost)',
  format: (value) => value,
  parse(word) {
    if (isIP(word) !== 0) return accepted(word)
    if (/^\[.*\]$/.test(word) && isIP(word.slice(1, -1)) === 6) return accepted(word.slice(1, -1))
    if (word.includes('://')) return refused('invalid', `"${word}" is a URL`, 'use only the host')
    if (/^\d+$/.test(word)) return refused('invalid', `"${word}" is a number`, 'set the port by its own setting')
    if (word.includes(':')) {
      return refused('invalid', `"${word}" has a port`, 'use only the host, and set the port by its own setting')
    }
    if (/^[\d.]+$/.test(word) || !HOST_NAME.test(word) || word.length > 253) {
      return refused('invalid', `"${word}" is not a host`, 'use an IP address or a host name')
    }
    return accepted(word)
  },
})

/** A path, made absolute. */
export const pathKind: Kind<string> = wordKind({
  label: 'path',
  accepts: 'a path, absolute or relative to the working directory',
  format: (value) => value,
  parse(word, context) {
    if (word.includes('\0')) return refused('invalid', 'contains a NUL character', 'use a path')
    return accepted(resolve(context.cwd, word))
  },
})

/** A version, or `auto`. It appears in log lines, records and file names. */
export const versionKind: Kind<string> = wordKind({
  label: 'version',
  accepts: 'a version of at most 100 letters, digits and . _ + - / : @ signs, or auto',
  format: (value) => value,
  parse(word) {
    if (/^[\w.+/:@-]{1,100}$/.test(word)) return accepted(word)
    const advice = 'use at most 100 letters, digits and . _ + - / : @ signs'
    return refused('invalid', `"${word.slice(0, 100)}" is not a version`, advice)
  },
})

/** Module specifiers. Those that begin with a dot become absolute paths, names of packages stay. */
export const modulesKind: Kind<readonly string[]> = {
  label: 'module',
  accepts: 'a path that begins with ./ or /, or the name of a package; several separated by commas, or one per flag',
  list: true,
  parse(written, context) {
    const names = typeof written === 'string' ? written.split(',').map((name) => name.trim()) : written
    if (names.some((name) => name.trim() === '')) {
      return refused('empty', 'has an empty entry', 'name a module or remove it')
    }
    return accepted(Object.freeze(names.map((name) => (/^\.\.?\//.test(name) ? resolve(context.cwd, name) : name))))
  },
  format: (value) => value.join(','),
}

const NO_ROUTES = 'none'

/** The path of a URL, with its query; empty if there is none. */
export const urlPathKind: Kind<string> = wordKind({
  label: 'path',
  accepts: `a URL path that begins with /, or ${NO_ROUTES}`,
  format: (value) => value || NO_ROUTES,
  parse(word) {
    if (word === NO_ROUTES) return accepted('')
    if (!word.startsWith('/')) {
      const suggestion = `/${word}`
      return refused('invalid', `"${word}" does not begin with /`, `use ${suggestion}`, { suggestion })
    }
    if (/[\s#]/.test(word)) return refused('invalid', `"${word}" is no path`, 'remove the fragment and spaces')
    return accepted(word)
  },
})

/** Paths of routes, each including the paths below it. */
export const routesKind: Kind<readonly string[]> = {
  label: 'path',
  accepts: 'a URL path that begins with /; several separated by commas, or one per flag; or none',
  list: true,
  parse(written) {
    const routes = typeof written === 'string' ? written.split(',').map((route) => route.trim()) : written
    if (routes.length === 1 && routes[0] === NO_ROUTES) return accepted(Object.freeze([]))
    for (const route of routes) {
      if (route === '') return refused('empty', 'has an empty entry', `name a path, or use ${NO_ROUTES}`)
      if (!route.startsWith('/')) {
        const suggestion = `/${route}`
        return refused('invalid', `"${route}" does not begin with /`, `use ${suggestion}`, { suggestion })
      }
      if (/[\s?#]/.test(route)) {
        return refused('invalid', `"${route}" is not only a path`, 'remove the query, the fragment and spaces')
      }
    }
    return accepted(Object.freeze([...routes]))
  },
  format: (value) => (value.length === 0 ? NO_ROUTES : value.join(',')),
}

const [NO_HOSTS, ALL_HOSTS] = ['none', 'all']

/** Names that clients may use for a server. Empty for none. */
export const hostNamesKind: Kind<readonly string[]> = {
  label: 'hosts',
  accepts: 'none, or names (metrics.internal, *.svc.cluster.local), separated by commas',
  list: true,
  parse(written) {
    const names = [written].flat().flatMap((text) => text.split(',').map((name) => name.trim().toLowerCase()))
    if (names.length === 1 && names[0] === NO_HOSTS) return accepted(Object.freeze([]))
    for (const name of names) {
      if (name === '') return refused('empty', 'has an empty entry', `name a host, or use ${NO_HOSTS}`)
      if (!HOST_NAME.test(name.replace(/^\*\./, ''))) {
        return refused('invalid', `"${name}" is not the name of a host`, 'use a name such as metrics.internal')
      }
    }
    return accepted(Object.freeze(names))
  },
  format: (value) => (value.length === 0 ? NO_HOSTS : value.join(',')),
}

/** Names and addresses of hosts. Empty for none; the only entry `all` for all. */
export const hostsKind: Kind<readonly string[]> = {
  label: 'hosts',
  accepts: 'none, all, or names (api.internal, *.internal), addresses and networks (10.0.0.0/8), separated by commas',
  list: true,
  parse(written) {
    const hosts = [written].flat().flatMap((text) => text.split(',').map((host) => host.trim()))
    if (hosts.length === 1 && hosts[0] === NO_HOSTS) return accepted(Object.freeze([]))
    for (const host of hosts) {
      if (host === '') return refused('empty', 'has an empty entry', `name a host, or use ${NO_HOSTS}`)
      if (hosts.length > 1 && (host === NO_HOSTS || host === ALL_HOSTS)) {
        return refused('invalid', `"${host}" is given with other hosts`, `use ${host} alone, or remove it`)
      }
      if (/:\/\//.test(host)) {
        const suggestion = URL.parse(host)?.hostname ?? host
        return refused('invalid', `"${host}" is a URL`, `use ${suggestion}`, { suggestion })
      }
      if (!/^(?:\*\.)?[\w.:-]+(?:\/\d{1,3})?$/.test(host)) {
        return refused('invalid', `"${host}" is not a host`, 'use a name, an address or a network such as 10.0.0.0/8')
      }
    }
    return accepted(Object.freeze(hosts.map((host) => host.toLowerCase())))
  },
  format: (value) => (value.length === 0 ? NO_HOSTS : value.join(',')),
}
