import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readQueueOptions } from './queue-options.ts'

test('without options, the documented defaults apply', () => {
  const { backOff, onEvent: _, ...settings } = readQueueOptions('security-event', {})
  assert.deepEqual(settings, {
    name: 'security-event',
    batch: 500,
    linger: 20,
    timeout: 30_000,
    concurrency: 1,
    attempts: 10,
    maxItems: 10_000,
    maxBytes: 64 * 1024 * 1024,
    onFull: 'drop-newest',
    durability: 'process',
    warnAge: 60_000,
    stateDir: undefined,
    transport: null,
  })
  assert.equal(backOff.initialDelay, 100)
  assert.equal(backOff.maxDelay, 30_000)
  assert.equal(backOff.jitter, 'full')
})

test('a name that cannot be a directory is refused', () => {
  for (const name of ['', '.', '..', '../x', 'a/b', '-x', 'a b', 'a\0b', 'x'.repeat(65), 'ä', 7, undefined]) {
    const expected = { code: 'PUNCTUAL_INVALID_OPTION', details: { option: 'name', given: name } }
    assert.throws(() => readQueueOptions(name, {}), expected)
  }
  for (const name of ['a', 'security-event', 'User_Activity.2', 'x'.repeat(64)]) readQueueOptions(name, {})
})

test('an invalid option is refused with its name', () => {
  const invalid: readonly [object, string, unknown][] = [
    [{ batch: 0 }, 'batch', 0],
    [{ concurrency: 1.5 }, 'concurrency', 1.5],
    [{ attempts: 0 }, 'attempts', 0],
    [{ maxItems: Number.NaN }, 'maxItems', Number.NaN],
    [{ maxBytes: '64 MB' }, 'maxBytes', '64 MB'],
    [{ maxBytes: 0 }, 'maxBytes', 0],
    [{ linger: 'soon' }, 'linger', 'soon'],
    [{ backOff: { from: '-1s' } }, 'backOff.from', '-1s'],
    [{ warnAge: 'x' }, 'warnAge', 'x'],
    [{ timeout: 0 }, 'timeout', 0],
    [{ backOff: { jitter: 'none' } }, 'backOff.jitter', 'none'],
    [{ onFull: 'block' }, 'onFull', 'block'],
    [{ durability: 'fsync' }, 'durability', 'fsync'],
    [{ transport: {} }, 'transport', {}],
  ]
  for (const [options, option, given] of invalid) {
    assert.throws(() => readQueueOptions('x', options), { code: 'PUNCTUAL_INVALID_OPTION', details: { option, given } })
  }
})

test('sizes are read with their unit or as bytes', () => {
  assert.equal(readQueueOptions('x', { maxBytes: '1.5KiB' }).maxBytes, 1_536)
  assert.equal(readQueueOptions('x', { maxBytes: '2GiB' }).maxBytes, 2 ** 31)
  assert.equal(readQueueOptions('x', { maxBytes: 100 }).maxBytes, 100)
})
