import { closeSync, mkdirSync, openSync, rmdirSync, statSync, unlinkSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Below the range from which systems take the ports of outgoing connections and of `listen(0)`: none of those gets in between. */
const FIRST = 20_000
const COUNT = 12_000
/** A file by port, so that no two test processes choose the same before either listens. */
const TAKEN = join(tmpdir(), 'punctual-test-ports')
/** Milliseconds after which a file is one that a killed process has left. */
const STALE = 3_600_000

const ours = new Set<string>()
process.on('exit', () => {
  for (const path of ours) remove(() => unlinkSync(path))
  // Whoever still has files there keeps it.
  remove(() => rmdirSync(TAKEN))
})

/** A port of 127.0.0.1 that is free, and that nobody else here will take before this process ends. */
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
    // Gone already, or in use.
  }
}
