import assert from 'node:assert/strict'

const [, , url] = process.argv
const post = (body) =>
  fetch(`${url}/sums`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
assert.deepEqual(await (await post({ numbers: [1, 2, 3] })).json(), { sum: 6 })
assert.equal((await post({ numbers: 'x' })).status, 400)
const form = new FormData()
form.set('file', new Blob(['x'.repeat(100_000)]), 'x.txt')
const upload = await fetch(`${url}/upload`, { method: 'POST', body: form })
assert.deepEqual(await upload.json(), { name: 'x.txt', bytes: 100_000 })
