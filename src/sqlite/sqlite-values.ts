import { shortenSql } from '../database/shorten-sql.ts'
import { misuse } from './sqlite-errors.ts'

/** What SQLite can be given. */
export type SqliteInput = null | number | bigint | string | NodeJS.ArrayBufferView

/** What SQLite yields. */
export type SqliteValue = null | number | bigint | string | Uint8Array

export type SqliteRow = Record<string, SqliteValue>

/** By position (`?`), or by name (`:id`, `@id`, `$id`), the sign before the name may be left away. */
export type SqliteParameters = readonly SqliteInput[] | Readonly<Record<string, SqliteInput>>

/**
 * The parameters as they can cross to a thread.
 *
 * @throws {UsageError} for a value SQLite has no type for; it names the parameter and what to pass instead, and not the value.
 */
export function sendable(parameters: unknown, database: string, sql: string): SqliteParameters {
  const place = { database, sql }
  if (Array.isArray(parameters)) {
    return parameters.map((value: unknown, index) => readValue(value, index + 1, place))
  }
  if (typeof parameters !== 'object' || parameters === null || ArrayBuffer.isView(parameters)) {
    const short = shortenSql(sql)
    throw misuse(
      'parameters-type',
      `the parameters of "${short}" (database ${database}) are ${tell(parameters)}; pass an array, or an object by name`,
      { database, sql: short, given: typeName(parameters) },
    )
  }
  const named: Record<string, SqliteInput> = {}
  for (const [name, value] of Object.entries(parameters)) named[name] = readValue(value, name, place)
  return named
}

interface Place {
  readonly database: string
  readonly sql: string
}

function readValue(value: unknown, parameter: string | number, place: Place): SqliteInput {
  switch (typeof value) {
    case 'string':
    case 'bigint':
      return value
    case 'number':
      if (!Number.isNaN(value)) return value
      throw wrongType(value, parameter, place, 'is NaN, which SQLite would store as null; pass null if that is meant')
    case 'object':
      if (value === null) return value
      if (ArrayBuffer.isView(value)) return ownBytes(value as NodeJS.ArrayBufferView)
  }
  throw wrongType(value, parameter, place, `is ${tell(value)}, which SQLite has no type for; pass ${instead(value)}`)
}

function wrongType(value: unknown, parameter: string | number, { database, sql }: Place, what: string): Error {
  const short = shortenSql(sql)
  const name = typeof parameter === 'number' ? parameter : `"${parameter}"`
  return misuse('parameter-type', `parameter ${name} of "${short}" (database ${database}) ${what}`, {
    database,
    sql: short,
    parameter,
    given: typeName(value),
  })
}

/** A small `Buffer` is a window on memory that many share, and all of it would cross. */
function ownBytes(view: NodeJS.ArrayBufferView): NodeJS.ArrayBufferView {
  if (view.byteLength === view.buffer.byteLength) return view
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice()
}

/** `null`, `boolean`, `NaN`; of an object the name of its class. */
function typeName(value: unknown): string {
  if (value === null || Number.isNaN(value)) return String(value)
  if (typeof value !== 'object') return typeof value
  return (value as { readonly constructor?: { readonly name?: string } }).constructor?.name || 'object'
}

function tell(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  const name = typeName(value)
  if (typeof value !== 'object') return `a ${name}`
  return name === 'object' ? 'an object' : `an object (${name})`
}

function instead(value: unknown): string {
  if (value === undefined) return 'null'
  if (typeof value === 'boolean') return '1 or 0'
  if (value instanceof Date) return 'value.toISOString() or value.getTime()'
  return 'null, a number, a bigint, a string or bytes, e.g. JSON.stringify(value)'
}
