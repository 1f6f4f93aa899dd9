import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { PAGE, pageWith, readResults } from './results.ts'

test('the page shows the recorded results', () => {
  const page = readFileSync(PAGE, 'utf8')
  assert.equal(pageWith(page, readResults()), page)
})
