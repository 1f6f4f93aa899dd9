import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, constants, mkdtempSync, openSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'

const LOG = new URL('../../src/diagnostics/log.ts', import.meta.url).href

const PROGRAM = `
  import { createLog } from ${JSON.stringify(LOG)}
  const log = createLog({ level: 'info', format: process.argv[1] })
  for (let index = 0; index < 30_000; index += 1) log.info({ index }, 'x'.repeat(100))
  process.stderr.write('wrote\\n')
  setTimeout(async () => {
    const lost = await log.close(100)
    process.stderr.write('lost ' + (lost > 0) + '\\n')
    process.exit(7)
  }, 50)
`

/** A pipe that is open at both ends and never read. */
function fullPipe(context: TestContext): number {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-pipe-'))
  const path = join(directory, 'pipe')
  execFileSync('mkfifo', [path])
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  const writer = openSync(path, constants.O_WRONLY)
  context.after(() => {
    for (const descriptor of [reader, writer]) closeSync(descriptor)
    rmSync(directory, { recursive: true })
  })
  return writer
}

for (const format of ['json', 'text']) {
  for (const kind of ['pipe', 'socket']) {
    const name = `a process whose ${format} log is not read from a ${kind} keeps running and can exit`
    test(name, { timeout: 30_000 }, async (context) => {
      // For 'pipe' Node uses a pair of sockets, as the journal does.
      const stdout = kind === 'pipe' ? fullPipe(context) : 'pipe'
      const child = spawn(process.execPath, ['--input-type=module', '-e', PROGRAM, format], {
        stdio: ['ignore', stdout, 'pipe'],
      })
      context.after(() => child.kill('SIGKILL'))
      child.stdout?.pause()
      let stderr = ''
      child.stderr?.setEncoding('utf8').on('data', (text: string) => {
        stderr += text
      })
      const [code] = (await once(child, 'exit')) as [number | null]
      assert.equal(code, 7)
      assert.equal(stderr, 'wrote\nlost true\n')
    })
  }
}
