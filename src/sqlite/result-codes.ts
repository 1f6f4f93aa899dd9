/**
 * SQLite's result codes (https://www.sqlite.org/rescode.html). The low byte is the primary code.
 */
const NAMES: Readonly<Record<number, string>> = {
  1: 'SQLITE_ERROR',
  2: 'SQLITE_INTERNAL',
  3: 'SQLITE_PERM',
  4: 'SQLITE_ABORT',
  5: 'SQLITE_BUSY',
  6: 'SQLITE_LOCKED',
  7: 'SQLITE_NOMEM',
  8: 'SQLITE_READONLY',
  9: 'SQLITE_INTERRUPT',
  10: 'SQLITE_IOERR',
  11: 'SQLITE_CORRUPT',
  12: 'SQLITE_NOTFOUND',
  13: 'SQLITE_FULL',
  14: 'SQLITE_CANTOPEN',
  15: 'SQLITE_PROTOCOL',
  17: 'SQLITE_SCHEMA',
  18: 'SQLITE_TOOBIG',
  19: 'SQLITE_CONSTRAINT',
  20: 'SQLITE_MISMATCH',
  21: 'SQLITE_MISUSE',
  22: 'SQLITE_NOLFS',
  23: 'SQLITE_AUTH',
  25: 'SQLITE_RANGE',
  26: 'SQLITE_NOTADB',
  261: 'SQLITE_BUSY_RECOVERY',
  264: 'SQLITE_READONLY_RECOVERY',
  266: 'SQLITE_IOERR_READ',
  267: 'SQLITE_CORRUPT_VTAB',
  275: 'SQLITE_CONSTRAINT_CHECK',
  516: 'SQLITE_ABORT_ROLLBACK',
  517: 'SQLITE_BUSY_SNAPSHOT',
  520: 'SQLITE_READONLY_CANTLOCK',
  522: 'SQLITE_IOERR_SHORT_READ',
  526: 'SQLITE_CANTOPEN_ISDIR',
  531: 'SQLITE_CONSTRAINT_COMMITHOOK',
  773: 'SQLITE_BUSY_TIMEOUT',
  776: 'SQLITE_READONLY_ROLLBACK',
  778: 'SQLITE_IOERR_WRITE',
  782: 'SQLITE_CANTOPEN_FULLPATH',
  787: 'SQLITE_CONSTRAINT_FOREIGNKEY',
  1032: 'SQLITE_READONLY_DBMOVED',
  1034: 'SQLITE_IOERR_FSYNC',
  1043: 'SQLITE_CONSTRAINT_FUNCTION',
  1288: 'SQLITE_READONLY_CANTINIT',
  1299: 'SQLITE_CONSTRAINT_NOTNULL',
  1544: 'SQLITE_READONLY_DIRECTORY',
  1555: 'SQLITE_CONSTRAINT_PRIMARYKEY',
  1811: 'SQLITE_CONSTRAINT_TRIGGER',
  2067: 'SQLITE_CONSTRAINT_UNIQUE',
  2323: 'SQLITE_CONSTRAINT_VTAB',
  2579: 'SQLITE_CONSTRAINT_ROWID',
  2835: 'SQLITE_CONSTRAINT_PINNED',
  3091: 'SQLITE_CONSTRAINT_DATATYPE',
}

const BUSY = 5
const READONLY = 8
const BUSY_SNAPSHOT = 517

/**
 * `SQLITE_CONSTRAINT_UNIQUE` for 2067; for an unknown extended code, the name of the primary one.
 */
export function nameOfCode(errcode: number): string {
  return NAMES[errcode] ?? NAMES[errcode & 0xff] ?? `SQLITE_${errcode}`
}

/** A lock that another connection may release soon. An outdated snapshot stays outdated. */
export function isRetryable(errcode: number): boolean {
  return (errcode & 0xff) === BUSY && errcode !== BUSY_SNAPSHOT
}

export function isSnapshotLost(errcode: number): boolean {
  return errcode === BUSY_SNAPSHOT
}

/** A write on a connection that is read-only. */
export function isReadOnly(errcode: number): boolean {
  return (errcode & 0xff) === READONLY
}
