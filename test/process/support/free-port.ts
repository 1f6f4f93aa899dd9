import { closeSync, mkdirSync, openSync, rmdirSync, statSync, unlinkSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Below the range that systems use for outgoing connections and `listen(0)`. */
const FIRST = 20_000
const COUNT = 12_000
/** Has a file for each port in use, so that two test processes do not choose the same. */
const TAKEN = join(tmpdir(), 'punctual-test-ports')
/** Older files, in milliseconds, are from killed processes. */
const STALE = 3_600_000

const ours = new Set<string>()
process.on('exit', () => {
  for (const path of ours) remove(() => unlinkSync(path))
  // Other processes may have files there.
  remove(() => rmdirSync(TAKEN))
})

/** Reserves a free port of 127.0.0.1 until this process exits. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * COUNT)
    if (take(port) && (await isFree(port))) return port
  }
}

function take(port: number): boolean {
  const path = join(TAKEN, String(port))
  mkdirSync(TAKEN, { recursive: true })
  try {
    closeSync(openSync(path, 'wx'))
  } catch {
    remove(() => {
      if (Date.now() - statSync(path).mtimeMs > STALE) unlinkSync(path)
    })
    return false
  }
  ours.add(path)
  return true
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = net.createServer()
    server.on('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}

function remove(step: () => void): void {
  try {
    step()
  } catch {
    // Already removed, or in use.
  }
}
