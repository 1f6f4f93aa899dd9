/** PostgreSQL's code for a lock that was not to be had within `lock_timeout`. */
const LOCK_NOT_AVAILABLE = '55P03'

/** Whether an error says that a lock of the database was not to be had in time. */
export function isLockTimeout(error: unknown): boolean {
  for (let one = error, depth = 0; one instanceof Error && depth < 5; one = one.cause, depth++) {
    const { code, errcode } = one as Error & { readonly code?: unknown; readonly errcode?: unknown }
    if (code === LOCK_NOT_AVAILABLE || (typeof errcode === 'number' && [5, 6].includes(errcode & 0xff))) return true
  }
  return false
}

/** The same of what a command has printed. */
export function tellsLockTimeout(output: string): boolean {
  return output.includes(LOCK_NOT_AVAILABLE) || output.includes('canceling statement due to lock timeout')
}
