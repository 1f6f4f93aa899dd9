import assert from 'node:assert/strict'
import { test } from 'node:test'
import { wrongDefaults } from './stated-defaults.ts'

const DEFAULTS = new Map<string, string | readonly string[]>([
  ['keepAlive', '5s'],
  ['loadShedding', 'dry-run'],
  ['priorityRoutes', ['/health', '/ready']],
])

const faultyLines = (text: string): readonly string[] =>
  wrongDefaults('a.md', text, DEFAULTS).map((fault) => fault.slice(0, fault.indexOf(' ')))

test('a default in a table of settings must be that of the setting', () => {
  const table = (rows: string): string => `| Setting | Default | Meaning |\n| --- | --- | --- |\n${rows}\n`
  assert.deepEqual(faultyLines(table('| `keepAlive` | 5 s | |\n| `loadShedding` | `dry-run` | |')), [])
  assert.deepEqual(faultyLines(table('| `keepAlive` | 15 s | |\n| `loadShedding` | `on` | |')), ['a.md:3', 'a.md:4'])
  assert.deepEqual(faultyLines(table('| `keptAlive` | 5 s | |')), ['a.md:3'])
  assert.deepEqual(faultyLines(table('| `priorityRoutes` | see above | |')), [])
  assert.deepEqual(faultyLines('| Option | Default |\n| --- | --- |\n| `keepAlive` | 9 s |\n'), [])
})

test('a figure in parentheses behind a setting must be its default', () => {
  assert.deepEqual(faultyLines('for `keepAlive` (5 s) or `keepAlive` (5 s, as in Node)'), [])
  assert.deepEqual(faultyLines('for `keepAlive` (6 s),\n`keepAlive` (500 ms, at least)'), ['a.md:1', 'a.md:2'])
  assert.deepEqual(faultyLines('for `timeout` (6 s), `keepAlive` (see below)'), [])
})
