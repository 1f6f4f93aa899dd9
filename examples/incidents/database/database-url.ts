import { resolve } from 'node:path'

/** What `DATABASE_URL` names. */
export type DatabaseAddress =
  | { readonly kind: 'postgres'; readonly url: string }
  /** `path` is absolute: workers may have another working directory. */
  | { readonly kind: 'sqlite'; readonly path: string }

const FORMS = 'postgres://user:password@host:port/database, or sqlite:./file.db, or sqlite:/absolute/path/file.db'

/**
 * Reads a `DATABASE_URL`. What follows `sqlite:` is a path as it is: nothing in it is decoded, and a relative one starts from the working directory.
 *
 * @throws {Error} with what to write instead; it repeats nothing that could be a password
 */
export function readDatabaseUrl(text: string): DatabaseAddress {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase()
  if (scheme === undefined) throw new Error(`DATABASE_URL is no URL; it must be ${FORMS}.`)
  if (scheme === 'sqlite') return { kind: 'sqlite', path: readPath(text.slice('sqlite:'.length)) }
  if (scheme !== 'postgres' && scheme !== 'postgresql') {
    throw new Error(`DATABASE_URL begins with "${scheme}:", which this app has no database for; it must be ${FORMS}.`)
  }
  if (!URL.canParse(text)) throw new Error(`DATABASE_URL is no URL of a PostgreSQL; it must be ${FORMS}.`)
  return { kind: 'postgres', url: text }
}

/** The same the other way round. */
export function databaseUrlOf(address: DatabaseAddress): string {
  return address.kind === 'postgres' ? address.url : `sqlite:${address.path}`
}

function readPath(path: string): string {
  const fault = faultOf(path)
  if (fault === undefined) return resolve(path)
  throw new Error(
    `DATABASE_URL is "sqlite:${path}", ${fault}. Give the path of a file, such as sqlite:./data/incidents.db.`,
  )
}

function faultOf(path: string): string | undefined {
  if (path.trim() === '') return 'which names no file'
  if (path.includes(':memory:'))
    return 'but each worker would have a database in memory of its own, and the release too'
  // Some take `sqlite:///x` for a relative path, others for an absolute one.
  if (path.startsWith('//'))
    return 'of which the slashes are read one way here and another way there; write sqlite:/absolute/path'
  if (path.startsWith('file:')) return 'an address within an address'
  if (path.includes('?')) return 'but parameters are not taken'
  if (path.endsWith('/')) return 'which names a directory'
  return undefined
}
