import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'

const [, , url] = process.argv
const text = randomUUID()
for (let i = 1; i <= 10; i++) {
  const response = await fetch(`${url}/notes/${text}`, { method: 'POST', headers: { connection: 'close' } })
  assert.deepEqual(await response.json(), { count: i })
}
