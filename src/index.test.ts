import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'

const INDEX = JSON.stringify(new URL('./index.ts', import.meta.url).href)
const PROGRAM = `
await import(${INDEX})
console.log(JSON.stringify(process.moduleLoadList.filter((name) => /_http_server/.test(name))))
`

test('the toolkit by itself loads no HTTP, so that a script that only waits need not', () => {
  const printed = execFileSync(process.execPath, ['--input-type=module', '-e', PROGRAM], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  assert.deepEqual(JSON.parse(printed), [])
})
