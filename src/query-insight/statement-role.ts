/**
 * What a statement is for: `read` and `write` work with rows; `control` is what goes around them (transactions, session settings, cursors) and is not
 * counted; `other` is counted and never taken for a repeat (tables, indexes, maintenance: migrations).
 */
export type StatementRole = 'read' | 'write' | 'control' | 'other'

const ROLES: Readonly<Record<string, StatementRole>> = {
  select: 'read',
  table: 'read',
  values: 'read',
  insert: 'write',
  update: 'write',
  delete: 'write',
  merge: 'write',
  replace: 'write',
  call: 'write',
}

const CONTROL: ReadonlySet<string> = new Set(
  'begin start commit end rollback abort savepoint release set reset show discard deallocate prepare listen unlisten notify declare fetch move close lock pragma attach detach explain'.split(
    ' ',
  ),
)
const WRITES = /\b(?:insert into|update|delete from|merge into)\b/i

/** @param text normalised */
export function statementRole(text: string): StatementRole {
  const word = (/^[\s(;]*(\w+)/.exec(text)?.[1] ?? '').toLowerCase()
  if (CONTROL.has(word)) return 'control'
  if (word === 'with') return WRITES.test(text) ? 'write' : 'read'
  return ROLES[word] ?? 'other'
}
