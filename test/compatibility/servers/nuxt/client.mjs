import assert from 'node:assert/strict'

const [, , url] = process.argv
const page = await (await fetch(url)).text()
assert.match(page, /hello from nuxt/)
const script = /(?:src|href)="(\/_nuxt\/[^"]+\.js)"/.exec(page)?.[1]
assert.ok(script !== undefined)
assert.equal((await fetch(url + script)).status, 200)
const note = await fetch(`${url}/api/notes`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: '{ "text": "milk" }',
})
assert.deepEqual(await note.json(), { got: { text: 'milk' } })
