import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { describe, it } from 'node:test'

const PATCH = new URL('worker-threads.ts', import.meta.url).href

/** What a thread prints of a process that has the flags of a worker, and inherits others. */
function printedBy(inherited: readonly string[], create: string): unknown {
  const program = `
    import { patchWorkerThreads } from ${JSON.stringify(PATCH)}
    import threads, { Worker } from 'node:worker_threads'
    patchWorkerThreads(${JSON.stringify(inherited)})
    const CODE = 'console.log(JSON.stringify({ flags: process.execArgv, data: require("worker_threads").workerData }))'
    ${create}`
  const flags = ['--no-force-async-hooks-checks', '--input-type=module', '-e', program]
  return JSON.parse(execFileSync(process.execPath, flags, { encoding: 'utf8', timeout: 60_000 }))
}

describe('a worker thread of the app', () => {
  it('has the flags that it would have under node, and its own options', () => {
    const printed = printedBy(['--enable-source-maps'], 'new Worker(CODE, { eval: true, workerData: 7 })')
    assert.deepEqual(printed, { flags: ['--enable-source-maps'], data: 7 })
  })

  it('is created although the app has flags that threads do not accept', () => {
    const inherited = ['--max-old-space-size=500', '--enable-source-maps', '--stack-size=900']
    assert.deepEqual(printedBy(inherited, 'new Worker(CODE, { eval: true })'), { flags: ['--enable-source-maps'] })
  })

  it('keeps the execArgv that the app gives, and may be of a subclass', () => {
    const create = `class Own extends threads.Worker {}
    const own = new Own(CODE, { eval: true, execArgv: ['--no-warnings'] })
    if (!(own instanceof Worker && own instanceof Own && Own.prototype instanceof Worker)) throw new Error('no instance')`
    assert.deepEqual(printedBy(['--enable-source-maps'], create), { flags: ['--no-warnings'] })
  })
})
