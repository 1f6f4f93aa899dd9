import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, it } from 'node:test'

const SIGNALS = new URL('signals.ts', import.meta.url).href
const LIMIT = 20_000

/** A process that holds its signals back, and follows messages. */
function start(app: string): ChildProcess {
  const program = `
import { holdSignals } from ${JSON.stringify(SIGNALS)}
// Before the signals are held: a listener that is not the app's.
process.on('message', (message) => {
  if (message === 'release') process.send({ released: signals.release() }, () => process.disconnect())
})
const signals = holdSignals()
${app}
process.on('SIGWINCH', () => process.send('seen'))
process.send('up')
`
  return spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
}

async function printedBy(child: ChildProcess): Promise<string> {
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk
  })
  await once(child, 'close', { signal: AbortSignal.timeout(LIMIT) })
  return text
}

async function heard(child: ChildProcess): Promise<unknown> {
  const [message] = (await once(child, 'message', { signal: AbortSignal.timeout(LIMIT) })) as [unknown]
  return message
}

/**
 * Waits until all signals sent so far have been delivered: the kernel delivers this one last.
 */
async function seen(child: ChildProcess): Promise<void> {
  child.kill('SIGWINCH')
  assert.equal(await heard(child), 'seen')
}

describe('signals of a worker', () => {
  it("are held back from the process and the app's listeners until they are released", async () => {
    const child = start(
      `for (const signal of ['SIGINT', 'SIGTERM', 'SIGQUIT', 'SIGHUP']) process.on(signal, (...of) => console.log(...of))`,
    )
    const printed = printedBy(child)
    await heard(child)
    for (const signal of ['SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGTERM'] as const) child.kill(signal)
    await seen(child)
    child.send('release')
    assert.deepEqual(await heard(child), { released: 'SIGTERM' })
    // The name and the number, as Node passes them.
    assert.equal(await printed, 'SIGTERM 15\n')
    assert.equal(child.exitCode, 0)
  })

  it('other than these four reach the app at once', async () => {
    const child = start(
      `process.on('SIGUSR2', () => console.log('heard'))\nprocess.on('beforeExit', () => console.log('end'))`,
    )
    const printed = printedBy(child)
    await heard(child)
    child.kill('SIGUSR2')
    assert.equal(await new Promise((resolve) => child.stdout?.once('data', resolve)), 'heard\n')
    child.send('release')
    assert.deepEqual(await heard(child), { released: null })
    assert.match(await printed, /end/)
  })

  it('end the process as usual once they are released', async () => {
    const child = start('setInterval(() => {}, 1000)')
    await heard(child)
    child.send('release')
    assert.deepEqual(await heard(child), { released: null })
    child.kill('SIGTERM')
    const [, signal] = (await once(child, 'exit', { signal: AbortSignal.timeout(LIMIT) })) as [null, string]
    assert.equal(signal, 'SIGTERM')
  })

  it('do not end a process whose app has removed all listeners', async () => {
    const child = start(`for (const signal of ['SIGTERM', 'SIGINT']) process.removeAllListeners(signal)`)
    await heard(child)
    child.kill('SIGTERM')
    child.kill('SIGINT')
    await seen(child)
    child.send('release')
    assert.deepEqual(await heard(child), { released: null })
    await once(child, 'exit', { signal: AbortSignal.timeout(LIMIT) })
    assert.deepEqual([child.exitCode, child.signalCode], [0, null])
  })

  for (const { listens, source, notice, printed } of [
    {
      listens: 'SIGINT',
      source: `process.on('SIGINT', () => console.log('INT'))`,
      notice: 'SIGINT',
      printed: 'INT\n',
    },
    {
      listens: 'the message of PM2',
      source: `process.on('message', (text) => text === 'shutdown' && console.log('PM2'))`,
      notice: 'message',
      printed: 'PM2\n',
    },
    {
      listens: 'SIGTERM and SIGINT',
      source: `for (const name of ['SIGTERM', 'SIGINT']) process.on(name, () => console.log(name))`,
      notice: 'SIGTERM',
      printed: 'SIGTERM\n',
    },
  ] as const) {
    it(`run the listeners of an app that listens for ${listens}, once`, async () => {
      const child = start(source)
      const text = printedBy(child)
      await heard(child)
      child.send('release')
      assert.deepEqual(await heard(child), { released: notice })
      assert.equal(await text, printed)
    })
  }
})
