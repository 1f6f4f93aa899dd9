import { closeSync, openSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'

const FLAG = 'connections-told-'

/**
 * Whether no other worker has asked this of this server since the arbiter was started. Where that cannot be known it is true: told twice is better than
 * not at all.
 */
export function isFirstOfRun(stateDir: string, server: string): boolean {
  try {
    const run = `${FLAG}${runOf(stateDir)}-`
    for (const name of readdirSync(stateDir)) {
      if (name.startsWith(FLAG) && !name.startsWith(run)) rmSync(join(stateDir, name), { force: true })
    }
    closeSync(openSync(join(stateDir, `${run}${server.replace(/[^\w.-]/g, '_')}`), 'wx'))
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'EEXIST'
  }
}

/** What tells this run from those before it, also in a container, where the arbiter's pid is the same each time: the token of its lock. */
function runOf(stateDir: string): string {
  const { token } = JSON.parse(readFileSync(join(stateDir, 'arbiter.lock'), 'utf8')) as { readonly token: string }
  return token
}
