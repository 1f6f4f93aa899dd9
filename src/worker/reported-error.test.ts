import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { describe, it } from 'node:test'
import vm from 'node:vm'
import { lacksPlace, reportedError, withPlace } from './reported-error.ts'

function thrown(source: string): unknown {
  try {
    vm.runInThisContext(source, { filename: '/srv/app.js' })
  } catch (error) {
    return error
  }
  return undefined
}

describe('an error as it is reported', () => {
  it('keeps the frames of the app and leaves out those of Node and of Punctual', () => {
    const own = new URL('worker.ts', import.meta.url)
    const error = new Error('no database')
    error.stack = [
      'Error: no database',
      '    at connect (/srv/app.js:3:9)',
      `    at process.emit (${own.href}:13:17)`,
      `    at emit (${own.pathname}:13:17)`,
      '    at Module._compile (node:internal/modules/cjs/loader:1929:14)',
      '    at TracingChannel.tracePromise (node:diagnostics_channel:362:14)',
      '    at Object.readFileSync (node:fs:441:20)',
      '    at async file:///srv/main.js:1:1',
    ].join('\n')
    assert.equal(
      reportedError(error).stack,
      [
        'Error: no database',
        '    at connect (/srv/app.js:3:9)',
        '    at Object.readFileSync (node:fs:441:20)',
        '    at async file:///srv/main.js:1:1',
      ].join('\n'),
    )
  })

  it('tells its causes, and ends where they go round in a circle', () => {
    const root = new Error('refused')
    assert.match(
      reportedError(new Error('no database', { cause: root })).stack,
      /no database[\s\S]*caused by Error: refused/,
    )
    root.cause = root
    assert.equal(reportedError(root).stack.match(/caused by/g)?.length, 5)
  })

  it('carries the code of a system error', () => {
    assert.equal(reportedError(Object.assign(new Error('taken'), { code: 'EADDRINUSE' })).code, 'EADDRINUSE')
    assert.equal('code' in reportedError(new Error('plain')), false)
  })

  it('is made of whatever is thrown', () => {
    assert.equal(reportedError('nothing works').message, 'a value that is no Error was thrown: nothing works')
    assert.equal(reportedError(undefined).stack, 'undefined')
    const bare = new Error('bare')
    Object.assign(bare, { stack: undefined })
    assert.equal(reportedError(bare).stack, 'Error: bare')
  })

  it('a syntax error of a script says where it is; one that does not gets its place in front', () => {
    const script = thrown('const a = 1\nfunction (')
    assert.equal(lacksPlace(script), false)
    assert.match(reportedError(script).stack, /^\/srv\/app\.js:2\nfunction \(/)
    const module = new SyntaxError("Unexpected token ';'")
    assert.equal(lacksPlace(module), true)
    assert.match(
      withPlace(reportedError(module), 'file:///srv/app.mjs:2').stack,
      /^file:\/\/\/srv\/app\.mjs:2\n\nSyntaxError/,
    )
    assert.equal(withPlace(reportedError(module), null).stack, reportedError(module).stack)
    assert.equal(lacksPlace(new TypeError('no')), false)
  })
})

describe('an error of Node itself', () => {
  it('reads as one line where no code of the app is to blame', async () => {
    const server = createServer()
    const error = await new Promise((resolve) => {
      server.once('error', resolve)
      server.listen(1, '192.0.2.1')
    })
    const { stack } = reportedError(error)
    assert.match(stack, /^Error: listen EADDRNOTAVAIL/)
    assert.doesNotMatch(stack, /node:internal/)
  })
})
