import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { ms } from '../resilience/duration.ts'
import { createLog, type Log } from './log.ts'

const LIMIT = ms(5_000)
let directory = ''

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'punctual-log-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

function collect(): { readonly stream: Writable; lines(): string[] } {
  let text = ''
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      text += chunk
      done()
    },
  })
  return { stream, lines: () => text.split('\n').slice(0, -1) }
}

async function eventually(holds: () => boolean, what: string): Promise<void> {
  for (let waited = 0; !holds(); waited += 10) {
    assert.ok(waited < 10_000, `${what} within 10 s`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

describe('json', () => {
  test('a line has level, ISO time, pid, message and fields, and no hostname', async () => {
    const { stream, lines } = collect()
    const log = createLog({ level: 'info', format: 'json', stream })
    log.warn({ event: 'test', worker: 2 }, 'worker 2 stalled 100%s for GET /%20')
    await log.close(LIMIT)
    const line = JSON.parse(lines()[0] ?? '') as Record<string, unknown>
    assert.deepEqual(Object.keys(line).sort(), ['event', 'level', 'msg', 'pid', 'time', 'worker'])
    assert.equal(line.level, 'warn')
    assert.equal(line.pid, process.pid)
    assert.equal(line.msg, 'worker 2 stalled 100%s for GET /%20')
    assert.match(String(line.time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  })

  for (const format of ['json', 'text'] as const) {
    test(`secrets are redacted and control characters escaped, as ${format}`, async () => {
      const { stream, lines } = collect()
      const log = createLog({ level: 'info', format, stream, color: false })
      const error = Object.assign(new Error('no postgres://bob:HIDE@db \u001b[2J\u009b1m\u202e'), { detail: 'HIDE' })
      log.error({ event: 'test', url: 'x?token=HIDE', error }, 'password=HIDE \u001b[2J\u009b1m\u202e')
      await log.close(LIMIT)
      const text = lines().join('\n')
      assert.doesNotMatch(text, /HIDE/)
      // biome-ignore lint/suspicious/noControlCharactersInRegex: it finds them on purpose.
      assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/)
      assert.match(text, /postgres:\/\/\[redacted\]@db/)
    })
  }

  test('an error is logged with its type, message and stack', async () => {
    const { stream, lines } = collect()
    const log = createLog({ level: 'info', format: 'json', stream })
    log.error({ event: 'test', error: new RangeError('too far') }, 'it went wrong')
    await log.close(LIMIT)
    const { error } = JSON.parse(lines()[0] ?? '') as { error: Record<string, string> }
    assert.equal(error.type, 'RangeError')
    assert.match(error.stack ?? '', /log\.test\.ts/)
  })

  test('a less severe level is not written', async () => {
    const { stream, lines } = collect()
    const log = createLog({ level: 'warn', format: 'json', stream })
    log.info({ event: 'test' }, 'no')
    log.fatal({ event: 'test' }, 'yes')
    await log.close(LIMIT)
    assert.equal(lines().length, 1)
  })

  test('a child adds its fields to every line', async () => {
    const { stream, lines } = collect()
    const log = createLog({ level: 'info', format: 'json', stream })
    log.child({ worker: 7 }).info({ event: 'test' }, 'hello')
    await log.close(LIMIT)
    assert.match(lines()[0] ?? '', /"worker":7/)
  })

  test('all lines are written to a file in order', async () => {
    const path = join(directory, 'log')
    const descriptor = openSync(path, 'a')
    const log = createLog({ level: 'info', format: 'json', stream: descriptor })
    for (let index = 0; index < 3_000; index += 1) log.info({ event: 'test', index }, 'line')
    assert.equal(await log.close(LIMIT), 0)
    closeSync(descriptor)
    const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1)
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { index: number }).index),
      Array.from({ length: 3_000 }, (_, index) => index),
    )
  })
})

describe('text', () => {
  async function text(write: (log: Log) => void, color = false): Promise<string> {
    const { stream, lines } = collect()
    const log = createLog({ level: 'trace', format: 'text', stream, color })
    write(log)
    await log.close(LIMIT)
    return lines().join('\n')
  }

  test('a line is time, level and message', async () => {
    assert.match(
      await text((log) => log.warn({ event: 'test' }, 'worker 2 stalled')),
      /^\d\d:\d\d:\d\d\.\d{3} warn {2}worker 2 stalled$/,
    )
  })

  test('short fields follow the message; long ones and objects are omitted', async () => {
    const line = await text((log) =>
      log.info({ event: 'test', worker: 2, why: 'a b', long: 'x'.repeat(200), deep: { a: 1 } }, 'done'),
    )
    assert.match(line, /done worker=2 why="a b"$/)
  })

  test('control characters are escaped, so that no line can be forged', async () => {
    const line = await text((log) =>
      log.info({ event: 'test', path: '/\u001b[2J' }, 'GET /\r\u001b[31m\n12:00:00.000 error forged'),
    )
    assert.ok(!line.includes('\u001b') && !line.includes('\r'))
    assert.match(line.split('\n')[1] ?? '', /^ {4}12:00/)
  })

  test('errors are followed by the stack, warnings by the message only', async () => {
    const error = new Error('no luck')
    assert.match(
      await text((log) => log.error({ event: 'test', error }, 'failed')),
      /failed\n {4}Error: no luck\n {4}at /,
    )
    assert.match(await text((log) => log.warn({ event: 'test', error }, 'failed')), /failed: no luck$/)
  })

  test('colours are used on request, and by default only on a terminal', async () => {
    assert.ok((await text((log) => log.warn({ event: 'test' }, 'x'), true)).includes('\u001b[33mwarn'))
    const { stream, lines } = collect()
    const log = createLog({ level: 'info', format: 'text', stream })
    log.warn({ event: 'test' }, 'x')
    await log.close(LIMIT)
    assert.ok(!(lines()[0] ?? '').includes('\u001b'))
  })
})

describe('a blocked reader', () => {
  let reader = -1
  let writer = -1

  beforeEach(() => {
    const path = join(directory, 'pipe')
    execFileSync('mkfifo', [path])
    reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
    writer = openSync(path, constants.O_WRONLY)
  })
  afterEach(() => closeSync(writer))

  function readAll(): string {
    const buffer = Buffer.alloc(1024 * 1024)
    try {
      return buffer.toString('utf8', 0, readSync(reader, buffer))
    } catch {
      return ''
    }
  }

  test('costs lines but no time; lost lines are counted and logged when the pipe is read again', async () => {
    const log = createLog({ level: 'info', format: 'json', stream: writer, bufferSize: 100_000 })
    for (let index = 0; index < 5_000; index += 1) log.info({ event: 'test', index }, 'x'.repeat(100))
    const lost = log.dropped()
    assert.ok(lost > 0 && lost < 5_000)
    let text = ''
    await eventually(() => {
      text += readAll()
      return text.includes('droppedLines')
    }, 'the lost lines are logged')
    const lines = text.split('\n').slice(0, -1)
    const logged = JSON.parse(lines.at(-1) ?? '') as Record<string, unknown>
    assert.partialDeepStrictEqual(logged, { level: 'warn', event: 'log-lines-dropped', droppedLines: lost })
    assert.equal(lines.length, 5_000 - lost + 1, 'every line that was not lost is whole')
    await log.close(LIMIT)
    closeSync(reader)
  })

  test('does not block close beyond its timeout', async () => {
    const log = createLog({ level: 'info', format: 'json', stream: writer })
    for (let index = 0; index < 2_000; index += 1) log.info({ event: 'test' }, 'x'.repeat(100))
    assert.ok((await log.close(ms(50))) > 0)
    log.info({ event: 'test' }, 'after the end')
    closeSync(reader)
  })

  test('that disconnects is not an error, and a new reader gets later lines', async () => {
    const log = createLog({ level: 'info', format: 'json', stream: writer })
    closeSync(reader)
    log.info({ event: 'test' }, 'lost')
    assert.equal(log.dropped(), 1)
    reader = openSync(join(directory, 'pipe'), constants.O_RDONLY | constants.O_NONBLOCK)
    log.info({ event: 'test' }, 'found')
    let text = ''
    await eventually(() => {
      text += readAll()
      return text.includes('droppedLines')
    }, 'the log goes on')
    assert.ok(text.includes('found') && !text.includes('"lost"'))
    await log.close(LIMIT)
    closeSync(reader)
  })

  test('does not change the mode of the descriptor, which workers share', async (context) => {
    if (process.platform !== 'linux') return context.skip('needs /proc')
    const log = createLog({ level: 'info', format: 'json', stream: writer })
    log.info({ event: 'test' }, 'x')
    const flags = /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${writer}`, 'utf8'))?.[1] ?? ''
    assert.equal(Number.parseInt(flags, 8) & constants.O_NONBLOCK, 0)
    await log.close(LIMIT)
    closeSync(reader)
  })
})

test('a failing stream loses lines only', async () => {
  const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error('disk full')) })
  const log = createLog({ level: 'info', format: 'json', stream })
  log.info({ event: 'test' }, 'x')
  await eventually(() => log.dropped() === 1, 'the line is counted')
  assert.equal(await log.close(LIMIT), 1)
})
