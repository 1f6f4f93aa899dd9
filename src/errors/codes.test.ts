import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { CODES, EXIT, EXIT_MEANINGS } from './codes.ts'
import { PunctualError, UsageError } from './punctual-error.ts'

const ROOT = join(import.meta.dirname, '../..')
const codes = Object.keys(CODES) as (keyof typeof CODES)[]

/** What may throw: the sources and the start script, without the table itself and without tests. */
const sources = globSync(['src/**/*.ts', 'bin/*.js'], { cwd: ROOT })
  .filter((path) => !path.endsWith('.test.ts') && path !== 'src/errors/codes.ts')
  .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }))

describe('error codes', () => {
  it('every code is used, unless it is reserved', () => {
    const used = codes.filter((code) => sources.some(({ text }) => new RegExp(`\\b${code}\\b`).test(text)))
    const reserved = codes.filter((code) => {
      const entry = CODES[code]
      return entry.exitCode !== null && entry.reserved === true
    })
    assert.deepEqual(used.toSorted(), codes.filter((code) => !reserved.includes(code)).toSorted())
  })

  it('every error class ends in Error and prints its name', () => {
    for (const { path, text } of sources) {
      for (const [, name = ''] of text.matchAll(/\bclass (\w+) extends (?:PunctualError|UsageError|RangeError)\b/g)) {
        assert.match(name, /^\w+Error$/, path)
        assert.ok(text.includes(`${name}.prototype.name = '${name}'`), `${path}: ${name} sets no name`)
      }
    }
  })

  it('the reference page has exactly the codes of the table', () => {
    const page = readFileSync(join(ROOT, 'docs/reference/errors.md'), 'utf8')
    const headings = [...page.matchAll(/^### `(PUNCTUAL_\w+)`$/gm)].map(([, code]) => code)
    assert.deepEqual(headings.toSorted(), codes.toSorted())
  })

  it('a code is for a command or for a client, never both', () => {
    for (const code of codes) {
      const { exitCode, httpStatus } = CODES[code]
      assert.notEqual(exitCode === null, httpStatus === null, code)
    }
  })

  it('every text is a sentence', () => {
    for (const code of codes) {
      assert.match(CODES[code].meaning, /^[A-Z].*\.$/, code)
      assert.match(CODES[code].remedy, /^[A-Z].*\.$/, code)
      assert.doesNotMatch(CODES[code].title, /\.$/, code)
    }
  })
})

describe('exit codes', () => {
  it('are stable numbers, each with a meaning', () => {
    assert.deepEqual(EXIT, { stopped: 0, failed: 1, usage: 2, bootFailed: 3, releaseFailed: 4, crashLoop: 5 })
    assert.deepEqual(Object.keys(EXIT_MEANINGS).map(Number), Object.values(EXIT))
  })
})

describe('PunctualError', () => {
  it('has code, exit code, cause and details, and prints its name', () => {
    const cause = new Error('inner')
    const error = new PunctualError('PUNCTUAL_CRASH_LOOP', 'it failed', { cause, details: { failures: 10 } })
    assert.ok(error instanceof Error)
    assert.equal(error.exitCode, EXIT.crashLoop)
    assert.equal(error.cause, cause)
    assert.deepEqual(error.details, { failures: 10 })
    assert.equal(String(error), 'PunctualError: it failed')
    assert.match(error.stack ?? '', /^PunctualError: it failed\n/)
    assert.equal(Object.hasOwn(new PunctualError('PUNCTUAL_USAGE', 'x'), 'cause'), false)
  })

  it('a subclass prints its own name', () => {
    const error = new UsageError('no such thing')
    assert.equal(String(error), 'UsageError: no such thing')
    assert.equal(error.code, 'PUNCTUAL_USAGE')
    assert.equal(error.exitCode, EXIT.usage)
  })

  it('an error for clients ends a command with exit code 1', () => {
    assert.equal(new PunctualError('PUNCTUAL_STALLED', 'x').exitCode, EXIT.failed)
  })
})
