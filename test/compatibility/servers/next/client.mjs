import assert from 'node:assert/strict'

const [, , url] = process.argv
const page = await (await fetch(url)).text()
assert.match(page, /hello from (<!-- -->)?production/)
const script = /src="(\/_next\/static\/[^"]+\.js)"/.exec(page)?.[1]
assert.ok(script !== undefined)
assert.equal((await fetch(url + script)).status, 200)
const note = await fetch(`${url}/api/notes`, { method: 'POST', body: '{ "text": "milk" }' })
assert.deepEqual([note.status, await note.json()], [201, { text: 'milk', length: 4 }])
const stream = await (await fetch(`${url}/stream`)).text()
assert.equal(stream, [0, 1, 2, 3, 4].map((i) => `data: ${i}\n\n`).join(''))
