import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { promisify } from 'node:util'

const MAIN_THREAD = new URL('./main-thread.ts', import.meta.url).href

/**
 * The thread looks, and requests the interrupt in the turn of the capture. Nothing it prints
 * may need the main thread.
 */
const THREAD = `
import { writeSync } from 'node:fs'
import { parentPort, workerData } from 'node:worker_threads'
import { MainThread } from ${JSON.stringify(MAIN_THREAD)}
// An inspector session does not keep its thread alive.
setInterval(() => {}, 1_000)
parentPort.postMessage('loaded')
const main = new MainThread()
const capture = await main.look(10_000)
main.interrupt({
  hasEnded: () => false,
  isSpinning: () => true,
  onInterrupt: () => {
    writeSync(1, 'interrupted in ' + capture.stack.at(-1).function)
    workerData[0] = 1
    // A process waits for its debuggers before it exits.
    setImmediate(() => main.release())
  },
})
`
/** A process whose main thread spins. */
const program = (spin: string): string => `
import { Worker } from 'node:worker_threads'
const wasInterrupted = new Int32Array(new SharedArrayBuffer(4))
setInterval(() => {
  if (wasInterrupted[0] === 1) process.exit(0)
}, 10)
new Worker(${JSON.stringify(THREAD)}, { eval: true, workerData: wasInterrupted }).once('message', () => {
  ${spin}
})
`

async function outputOf(spin: string): Promise<string> {
  const flags = ['--no-force-async-hooks-checks', '--input-type=module', '-e', program(spin)]
  const { stdout } = await promisify(execFile)(process.execPath, flags, { timeout: 20_000, killSignal: 'SIGKILL' })
  return stdout
}

test('an interrupt that is requested during the pause of a look takes effect', async () => {
  const rounds = Array.from({ length: 5 }, () => outputOf('for (;;);'))
  for (const output of await Promise.all(rounds)) assert.match(output, /^interrupted in /)
})

test('code with a URL that is not a path is captured and interrupted like any other', async () => {
  const spin = "(0, eval)('(function spin() { for (;;); })()\\n//# sourceURL=file://app/spin.js')"
  assert.match(await outputOf(spin), /^interrupted in /)
})
