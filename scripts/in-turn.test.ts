import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, it } from 'node:test'

const IN_TURN = import.meta.resolve('./in-turn.ts')

/**
 * Runs these programs in turn, in a process of its own that ends with their code; where one prints
 * `stop me`, that process gets SIGTERM.
 */
async function inTurn(programs: readonly string[]): Promise<{ readonly code: number | null; readonly said: string }> {
  const commands = programs.map((program) => ['--eval', program])
  const run = `
    import { runInTurn } from ${JSON.stringify(IN_TURN)}
    process.exitCode = await runInTurn(process.execPath, ${JSON.stringify(commands)}, { stdio: 'inherit' })`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', run], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 30_000,
    killSignal: 'SIGKILL',
  })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said += text
    if (text.includes('stop me')) child.kill('SIGINT')
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, said }
}

const say = (text: string, code = 0): string => `console.log(${JSON.stringify(text)}); process.exitCode = ${code}`

describe('runInTurn', () => {
  it('each program runs after the one before, also if that failed, and the first failure is the result', async () => {
    assert.deepEqual(await inTurn([say('one'), say('two')]), { code: 0, said: 'one\ntwo\n' })
    assert.deepEqual(await inTurn([say('one', 3), say('two', 4)]), { code: 3, said: 'one\ntwo\n' })
    assert.deepEqual(await inTurn([`process.kill(process.pid, 'SIGKILL')`, say('two', 4)]), { code: 1, said: 'two\n' })
  })

  it('a signal is forwarded to the running program, and no other starts', async () => {
    const waits = `
      const timer = setInterval(() => {}, 1_000)
      process.on('SIGINT', () => { clearInterval(timer); console.log('stopped') })
      console.log('stop me')`
    assert.deepEqual(await inTurn([waits, say('two')]), { code: 130, said: 'stop me\nstopped\n' })
  })
})
