import assert from 'node:assert/strict'

const [, , url] = process.argv
const page = await (await fetch(url)).text()
assert.match(page, /hello from (<!-- -->)?react router/)
const script = /"(\/assets\/[^"]+\.js)"/.exec(page)?.[1]
assert.ok(script !== undefined)
assert.equal((await fetch(url + script)).status, 200)
const note = await fetch(`${url}/notes`, { method: 'POST', body: '{ "text": "milk" }' })
assert.deepEqual([note.status, await note.json()], [201, { got: { text: 'milk' } }])
