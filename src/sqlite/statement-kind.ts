import { shortenSql } from '../database/shorten-sql.ts'
import { misuse } from './sqlite-errors.ts'

/**
 * What is done with a statement, by its first word:
 * - `read`: any connection can answer it.
 * - `mixed`: a reader is asked first; if it writes, the reader refuses and the writer gets it.
 * - `write`: the writer, in a transaction of its own.
 * - `bare`: the writer, and in no transaction, where it would fail or do nothing.
 * - `boundary`: begins or ends a transaction, `savepoint`: marks a place in one.
 */
export type StatementKind = 'read' | 'mixed' | 'write' | 'bare' | 'boundary' | 'savepoint'

const KINDS: Readonly<Record<string, StatementKind>> = {
  SELECT: 'read',
  VALUES: 'read',
  EXPLAIN: 'read',
  WITH: 'mixed',
  PRAGMA: 'bare',
  VACUUM: 'bare',
  ATTACH: 'bare',
  DETACH: 'bare',
  BEGIN: 'boundary',
  COMMIT: 'boundary',
  END: 'boundary',
  ROLLBACK: 'boundary',
  SAVEPOINT: 'savepoint',
  RELEASE: 'savepoint',
}

const FIRST_WORD = /^(?:\s|;|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))*([A-Za-z]*)/
/** What may hold a semicolon or a word that means nothing. A doubled quote reads as two texts side by side, which comes to the same. */
const OPAQUE = /--[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|'[^']*'?|"[^"]*"?|`[^`]*`?|\[[^\]]*\]?/g
const TRIGGER = /^[\s;]*CREATE\s+(?:TEMP\s+|TEMPORARY\s+)?TRIGGER\b/i
const ROLLBACK_TO = /^[\s;]*ROLLBACK\s+(?:TRANSACTION\s+)?TO\b/i

export function statementKind(sql: string): StatementKind {
  const word = (FIRST_WORD.exec(sql)?.[1] ?? '').toUpperCase()
  const kind = KINDS[word] ?? 'write'
  return word === 'ROLLBACK' && ROLLBACK_TO.test(sql.replace(OPAQUE, ' ')) ? 'savepoint' : kind
}

/** Whether anything follows the first statement: SQLite would prepare the first and forget the rest without a word. */
export function hasSeveralStatements(sql: string): boolean {
  const end = sql.indexOf(';')
  if (end === -1 || sql.slice(end + 1).trim() === '') return false
  const text = sql.replace(OPAQUE, ' ')
  return !TRIGGER.test(text) && /;\s*[^\s;]/.test(text.replace(/^[\s;]+/, ''))
}

/** @throws {UsageError} unless it is the text of one statement that belongs where it is to run */
export function checkStatement(sql: unknown, database: string, inTransaction: boolean): StatementKind {
  const kind = checkText(sql, database, inTransaction)
  if (hasSeveralStatements(sql as string)) {
    const short = shortenSql(sql as string)
    throw misuse(
      'several-statements',
      `"${short}" (database ${database}) is several statements, of which only the first would run; use exec, or a call for each`,
      { database, sql: short },
    )
  }
  return kind
}

/** @throws {UsageError} unless it is the text of a script that can run as one transaction, or of one statement */
export function checkScript(sql: unknown, database: string, inTransaction: boolean): StatementKind {
  const kind = checkText(sql, database, inTransaction)
  if (kind === 'bare' && !inTransaction && hasSeveralStatements(sql as string)) {
    const short = shortenSql(sql as string)
    throw misuse(
      'script-not-atomic',
      `exec on database ${database} runs several statements as one transaction, where "${short}" fails or does nothing; give it a call of its own`,
      { database, sql: short },
    )
  }
  // A script that begins with a read may go on with a write.
  return kind === 'bare' ? kind : 'write'
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
  if (kind !== 'boundary' && (kind !== 'savepoint' || inTransaction)) return kind
  const short = shortenSql(sql)
  throw misuse(
    'transaction-boundary',
    inTransaction
      ? `"${short}" inside transaction() of database ${database}: it commits when its function returns, and rolls back when it throws`
      : `"${short}" on database ${database}: others use the same connection; use transaction()`,
    { database, sql: short, inTransaction },
  )
}
