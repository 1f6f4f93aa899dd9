import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { pathToFileURL } from 'node:url'
import vm from 'node:vm'
import { findSyntaxError, lacksLocation, reportedError, withLocation } from './reported-error.ts'

function thrown(source: string): unknown {
  try {
    vm.runInThisContext(source, { filename: '/srv/app.js' })
  } catch (error) {
    return error
  }
  return undefined
}

describe('reportedError', () => {
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

  it('includes its causes, and ends at a circle', () => {
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

  it('accepts any thrown value', () => {
    assert.equal(reportedError('nothing works').message, 'a value that is not an Error was thrown: nothing works')
    assert.equal(reportedError(undefined).stack, 'undefined')
    const bare = new Error('bare')
    Object.assign(bare, { stack: undefined })
    assert.equal(reportedError(bare).stack, 'Error: bare')
  })

  it('a syntax error without its location gets it in front of the stack', () => {
    const script = thrown('const a = 1\nfunction (')
    assert.equal(lacksLocation(script), false)
    assert.match(reportedError(script).stack, /^\/srv\/app\.js:2\nfunction \(/)
    const module = new SyntaxError("Unexpected token ';'")
    assert.equal(lacksLocation(module), true)
    assert.match(
      withLocation(reportedError(module), 'file:///srv/app.mjs:2').stack,
      /^file:\/\/\/srv\/app\.mjs:2\n\nSyntaxError/,
    )
    assert.equal(withLocation(reportedError(module), null).stack, reportedError(module).stack)
    assert.equal(lacksLocation(new TypeError('no')), false)
  })
})

describe('an error of Node', () => {
  it('is one line if no code of the app is on the stack', async () => {
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

let directory = ''

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'punctual-syntax-'))
})

afterEach(() => rmSync(directory, { recursive: true }))

function write(name: string, text: string): string {
  const path = join(directory, name)
  writeFileSync(path, text)
  return path
}

async function errorOf(entry: string): Promise<SyntaxError> {
  try {
    await import(pathToFileURL(entry).href)
  } catch (error) {
    return error as SyntaxError
  }
  throw new Error('it has no fault')
}

describe('findSyntaxError', () => {
  it('returns file, line and position, also in a module that the entry imports', async () => {
    write('routes.mjs', '#!/usr/bin/env node\nexport const a = 1\nlet b = ;\n')
    const entry = write('app.mjs', 'import "./routes.mjs"\n')
    const place = await findSyntaxError(await errorOf(entry), entry, [])
    assert.equal(place, `${pathToFileURL(join(directory, 'routes.mjs')).href}:3\nlet b = ;\n        ^`)
  })

  it('runs no code of the app', async () => {
    const mark = join(directory, 'ran')
    const run = `fs.writeFileSync(${JSON.stringify(mark)}, '')\n`
    write('common.cjs', `const fs = require('node:fs')\n${run}`)
    write('first.mjs', `import fs from 'node:fs'\nimport './common.cjs'\n${run}`)
    write('broken.mjs', 'export const = 1\n')
    const entry = write('app.mjs', 'import "./first.mjs"\nimport "./broken.mjs"\n')
    const error = await errorOf(entry)
    assert.match((await findSyntaxError(error, entry, [])) ?? '', /broken\.mjs:1\n/)
    const fine = write('fine.mjs', 'import "./first.mjs"\n')
    assert.equal(await findSyntaxError(error, fine, []), null)
    assert.equal(existsSync(mark), false)
  })

  it('returns null if the error does not occur again', async () => {
    const entry = write('app.mjs', 'export const a = 1\n')
    assert.equal(await findSyntaxError(new SyntaxError("Unexpected token ';'"), entry, []), null)
    const other = write('other.mjs', 'let b = ;\n')
    assert.equal(await findSyntaxError(new SyntaxError('Invalid regular expression'), other, []), null)
  })
})
