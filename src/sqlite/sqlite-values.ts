import { shortenSql } from '../query-insight/sql-text.ts'
import { misuse } from './sqlite-errors.ts'

/** A value that can be passed to SQLite. */
export type SqliteInput = null | number | bigint | string | NodeJS.ArrayBufferView

/** A value that SQLite returns. */
export type SqliteValue = null | number | bigint | string | Uint8Array

export type SqliteRow = Record<string, SqliteValue>

/** By position (`?`), or by name (`:id`, `@id`, `$id`), with or without the sign. */
export type SqliteParameters = readonly SqliteInput[] | Readonly<Record<string, SqliteInput>>

/** Names the statement in an error. */
interface Statement {
  readonly database: string
  readonly sql: string
}

/**
 * The parameters in a form that can be sent to a thread.
 *
 * @throws {UsageError} for a value that SQLite has no type for; it names the parameter and what to
 *   pass instead, but not the value
 */
export function sendable(parameters: unknown, database: string, sql: string): SqliteParameters {
  const statement = { database, sql }
  if (Array.isArray(parameters)) {
    return parameters.map((value: unknown, index) => readValue(value, index + 1, statement))
  }
  if (typeof parameters !== 'object' || parameters === null || ArrayBuffer.isView(parameters)) {
    const short = shortenSql(sql)
    throw misuse(
      'parameters-type',
      `the parameters of "${short}" (database ${database}) are ${describe(parameters)}; pass an array, or an object by name`,
      { database, sql: short, given: typeName(parameters) },
    )
  }
  const named: Record<string, SqliteInput> = {}
  for (const [name, value] of Object.entries(parameters)) named[name] = readValue(value, name, statement)
  return named
}

function readValue(value: unknown, parameter: string | number, statement: Statement): SqliteInput {
  switch (typeof value) {
    case 'string':
    case 'bigint':
      return value
    case 'number':
      if (!Number.isNaN(value)) return value
      throw wrongType(
        value,
        parameter,
        statement,
        'is NaN, which SQLite would store as null; pass null if you mean that',
      )
    case 'object':
      if (value === null) return value
      if (ArrayBuffer.isView(value)) return ownBytes(value as NodeJS.ArrayBufferView)
  }
  const problem = `is ${describe(value)}, which SQLite has no type for; pass ${alternativeTo(value)}`
  throw wrongType(value, parameter, statement, problem)
}

function wrongType(value: unknown, parameter: string | number, { database, sql }: Statement, problem: string): Error {
  const short = shortenSql(sql)
  const name = typeof parameter === 'number' ? parameter : `"${parameter}"`
  return misuse('parameter-type', `parameter ${name} of "${short}" (database ${database}) ${problem}`, {
    database,
    sql: short,
    parameter,
    given: typeName(value),
  })
}

/** Copies a view of shared memory, such as a small `Buffer`, all of which would be sent. */
function ownBytes(view: NodeJS.ArrayBufferView): NodeJS.ArrayBufferView {
  if (view.byteLength === view.buffer.byteLength) return view
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength).slice()
}

/** `null`, `boolean`, `NaN`; for an object, the name of its class. */
function typeName(value: unknown): string {
  if (value === null || Number.isNaN(value)) return String(value)
  if (typeof value !== 'object') return typeof value
  return (value as { readonly constructor?: { readonly name?: string } }).constructor?.name || 'object'
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value)
  const name = typeName(value)
  if (typeof value !== 'object') return `a ${name}`
  return name === 'object' ? 'an object' : `an object (${name})`
}

function alternativeTo(value: unknown): string {
  if (value === undefined) return 'null'
  if (typeof value === 'boolean') return '1 or 0'
  if (value instanceof Date) return 'value.toISOString() or value.getTime()'
  return 'null, a number, a bigint, a string or bytes, e.g. JSON.stringify(value)'
}
