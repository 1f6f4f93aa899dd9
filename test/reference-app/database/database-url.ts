import { resolve } from 'node:path'
import { SettingError } from '../app-error.ts'

/** The database of `DATABASE_URL`. */
export type DatabaseAddress =
  | { readonly kind: 'postgres'; readonly url: string }
  /** `path` is absolute: workers may have another working directory. */
  | { readonly kind: 'sqlite'; readonly path: string }

const FORMS = 'postgres://user:password@host:port/database, or sqlite:./file.db, or sqlite:/absolute/path/file.db'

/**
 * Reads a `DATABASE_URL`. What follows `sqlite:` is a plain path: nothing is decoded, and a
 * relative path starts at the working directory.
 *
 * @throws SettingError that says what to use instead, without anything that could be a password
 */
export function readDatabaseUrl(text: string): DatabaseAddress {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase()
  if (scheme === undefined) throw invalid('no-url', `is not a URL; it must be ${FORMS}.`)
  if (scheme === 'sqlite') return { kind: 'sqlite', path: readPath(text.slice('sqlite:'.length)) }
  if (scheme !== 'postgres' && scheme !== 'postgresql') {
    throw invalid('other-scheme', `begins with "${scheme}:", which this app does not support; it must be ${FORMS}.`)
  }
  if (!URL.canParse(text)) throw invalid('no-url', `is not a valid PostgreSQL URL; it must be ${FORMS}.`)
  return { kind: 'postgres', url: text }
}

/** Formats a `DATABASE_URL`. */
export function databaseUrlOf(address: DatabaseAddress): string {
  return address.kind === 'postgres' ? address.url : `sqlite:${address.path}`
}

function readPath(path: string): string {
  const fault = faultOf(path)
  if (fault === undefined) return resolve(path)
  const [reason, what] = fault
  throw invalid(reason, `is "sqlite:${path}", ${what}. Give the path of a file, such as sqlite:./data/incidents.db.`)
}

function faultOf(path: string): readonly [reason: string, what: string] | undefined {
  if (path.trim() === '') return ['no-file', 'which names no file']
  if (path.includes(':memory:')) {
    return ['in-memory', 'but each worker, and the release, would have its own database in memory']
  }
  // Programs disagree on whether `sqlite:///x` is a relative or an absolute path.
  if (path.startsWith('//')) {
    const what = 'whose slashes are ambiguous; use sqlite:/absolute/path'
    return ['ambiguous-slashes', what]
  }
  if (path.startsWith('file:')) return ['nested-url', 'which contains another URL']
  if (path.includes('?')) return ['parameters', 'but parameters are not supported']
  if (path.endsWith('/')) return ['directory', 'which names a directory']
  return undefined
}

function invalid(reason: string, what: string): SettingError {
  return new SettingError('DATABASE_URL', reason, `DATABASE_URL ${what}`)
}
