import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { joinNodeOptions, splitNodeOptions, withoutPreloads } from './restart-without-preloads.ts'

test('flags that load a module are removed with their values, others are kept', () => {
  const flags = ['-r', './a.cjs', '--max-old-space-size=100', '--require=b', '--import', 'c', '--experimental_loader=d']
  assert.deepEqual(withoutPreloads([...flags, '--conditions', 'x', '--import=e']), [
    '--max-old-space-size=100',
    '--conditions',
    'x',
  ])
})

test('NODE_OPTIONS is split as Node splits it, and joined again', () => {
  assert.deepEqual(splitNodeOptions('  -r  "./with space.cjs" --title="a \\"b\\" \\\\ c" --x '), [
    '-r',
    './with space.cjs',
    '--title=a "b" \\ c',
    '--x',
  ])
  for (const title of ['plain', 'with space', 'with "quotes"', 'back\\slash']) {
    const text = joinNodeOptions([`--title=${title}`, '--no-warnings'])
    assert.deepEqual(splitNodeOptions(text), [`--title=${title}`, '--no-warnings'])
    const env = { ...process.env, NODE_OPTIONS: text }
    const printed = execFileSync(process.execPath, ['-p', 'process.title'], { env, encoding: 'utf8' })
    assert.equal(printed.trimEnd(), title)
  }
})
