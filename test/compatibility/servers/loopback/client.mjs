import assert from 'node:assert/strict'

const [, , url] = process.argv
const post = (body) =>
  fetch(`${url}/sums`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
assert.deepEqual(await (await post({ numbers: [1, 2, 3] })).json(), { sum: 6 })
assert.equal((await post({ numbers: 'x' })).status, 422)
const { paths } = await (await fetch(`${url}/openapi.json`)).json()
assert.ok('/sums' in paths)
