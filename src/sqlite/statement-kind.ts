import { shortenSql } from '../query-insight/sql-text.ts'
import { misuse } from './sqlite-errors.ts'

/**
 * How a statement is run, by its first word:
 * - `read`: by any connection.
 * - `maybe-write`: by a reader; if that refuses to write, by the writer.
 * - `write`: by the writer, in a transaction of its own.
 * - `no-transaction`: by the writer, outside of any transaction, where it would fail or do nothing.
 * - `transaction-control`: it begins or ends a transaction; `savepoint`: it needs an open one.
 */
export type StatementKind = 'read' | 'maybe-write' | 'write' | 'no-transaction' | 'transaction-control' | 'savepoint'

const KINDS: Readonly<Record<string, StatementKind>> = {
  SELECT: 'read',
  VALUES: 'read',
  EXPLAIN: 'read',
  WITH: 'maybe-write',
  PRAGMA: 'no-transaction',
  VACUUM: 'no-transaction',
  ATTACH: 'no-transaction',
  DETACH: 'no-transaction',
  BEGIN: 'transaction-control',
  COMMIT: 'transaction-control',
  END: 'transaction-control',
  ROLLBACK: 'transaction-control',
  SAVEPOINT: 'savepoint',
  RELEASE: 'savepoint',
}

const FIRST_WORD = /^(?:\s|;|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))*([A-Za-z]*)/
/**
 * Comments, strings and quoted names. A doubled quote is read as two strings, with the same result.
 */
const OPAQUE = /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|'[^']*'?|"[^"]*"?|`[^`]*`?|\[[^\]]*\]?/g
const TRIGGER = /^[\s;]*CREATE\s+(?:TEMP\s+|TEMPORARY\s+)?TRIGGER\b/i
const ROLLBACK_TO = /^[\s;]*ROLLBACK\s+(?:TRANSACTION\s+)?TO\b/i

export function statementKind(sql: string): StatementKind {
  const word = (FIRST_WORD.exec(sql)?.[1] ?? '').toUpperCase()
  const kind = KINDS[word] ?? 'write'
  return word === 'ROLLBACK' && ROLLBACK_TO.test(sql.replace(OPAQUE, ' ')) ? 'savepoint' : kind
}

/** Whether anything follows the first statement, which SQLite would silently ignore. */
export function hasSeveralStatements(sql: string): boolean {
  const end = sql.indexOf(';')
  if (end === -1 || sql.slice(end + 1).trim() === '') return false
  const text = sql.replace(OPAQUE, ' ')
  return !TRIGGER.test(text) && /;\s*[^\s;]/.test(text.replace(/^[\s;]+/, ''))
}

/** @throws {UsageError} unless `sql` is one statement that may run there */
export function checkStatement(sql: unknown, database: string, inTransaction: boolean): StatementKind {
  const kind = checkText(sql, database, inTransaction)
  if (hasSeveralStatements(sql as string)) {
    const short = shortenSql(sql as string)
    throw misuse(
      'several-statements',
      `"${short}" (database ${database}) has several statements, of which only the first would run; use exec, or one call for each`,
      { database, sql: short },
    )
  }
  return kind
}

/**
 * @throws {UsageError} unless `sql` is a script that can run as one transaction, or one statement
 */
export function checkScript(sql: unknown, database: string, inTransaction: boolean): StatementKind {
  const kind = checkText(sql, database, inTransaction)
  if (kind === 'no-transaction' && !inTransaction && hasSeveralStatements(sql as string)) {
    const short = shortenSql(sql as string)
    throw misuse(
      'script-not-atomic',
      `exec on database ${database} runs several statements as one transaction, where "${short}" fails or does nothing; run it in a separate call`,
      { database, sql: short },
    )
  }
  // A script that begins with a read may contain a write.
  return kind === 'no-transaction' ? kind : 'write'
}

function checkText(sql: unknown, database: string, inTransaction: boolean): StatementKind {
  if (typeof sql !== 'string') {
    const given = sql === null ? 'null' : typeof sql
    throw misuse('statement-type', `a statement for database ${database} must be a string, not ${given}`, {
      database,
      given,
    })
  }
  const kind = statementKind(sql)
  if (kind !== 'transaction-control' && (kind !== 'savepoint' || inTransaction)) return kind
  const short = shortenSql(sql)
  throw misuse(
    'transaction-control',
    inTransaction
      ? `"${short}" inside transaction() of database ${database}: it commits when its function returns, and rolls back when it throws`
      : `"${short}" on database ${database}: the connection is shared; use transaction()`,
    { database, sql: short, inTransaction },
  )
}
