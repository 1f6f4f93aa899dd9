import { readFileSync } from 'node:fs'

const ESTABLISHED = '01'

/**
 * Whether somebody is connected to the inspector that listens on `port` of this machine: a paused debugger looks like a
 * stall. Where there is no /proc an open inspector counts as an attached one.
 *
 * @param port 0 when the inspector is not open
 */
export function isDebugged(port: number): boolean {
  if (port === 0) return false
  if (process.platform !== 'linux') return true
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return ['/proc/self/net/tcp', '/proc/self/net/tcp6'].some((path) => {
    try {
      return readFileSync(path, 'latin1')
        .split('\n')
        .some((row) => {
          const [, local, , state] = row.trim().split(/\s+/)
          return state === ESTABLISHED && local !== undefined && local.endsWith(suffix)
        })
    } catch {
      return false
    }
  })
}
