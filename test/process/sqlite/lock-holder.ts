import { type ChildProcess, spawn } from 'node:child_process'
import { within } from '../support/until.ts'

/** Another process that holds the lock of a SQLite file. */
export interface LockHolder {
  /** Releases the lock and exits. */
  release(): Promise<void>
  /** Kills the process, which releases the lock. */
  kill(): Promise<void>
}

const SCRIPT = `
import { DatabaseSync } from 'node:sqlite'
const database = new DatabaseSync(process.argv[1], { timeout: 20000 })
database.exec('BEGIN EXCLUSIVE')
process.send('locked')
process.once('message', () => {
  database.exec('COMMIT')
  database.close()
  process.disconnect()
})
`

/** Resolves when another process has run `BEGIN EXCLUSIVE`. */
export async function holdLock(path: string): Promise<LockHolder> {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--input-type=module', '--eval', SCRIPT, path],
    { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
  )
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  await within('another process to take the lock', firstMessage(child))
  return {
    release: () => {
      if (child.connected) child.send('release')
      return within('the other process to exit', ended)
    },
    kill: () => {
      child.kill('SIGKILL')
      return within('the other process to exit', ended)
    },
  }
}

function firstMessage(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    child.once('message', resolve)
    child.once('exit', (code) => reject(new Error(`it exited with ${code}`)))
  })
}
