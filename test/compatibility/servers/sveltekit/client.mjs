import assert from 'node:assert/strict'

const [, , url] = process.argv
const page = await (await fetch(url)).text()
assert.match(page, /hello from svelte/)
const script = /import\("\.?(\/_app\/immutable\/entry\/start[^"]+\.js)"\)/.exec(page)?.[1]
assert.ok(script !== undefined, page)
assert.equal((await fetch(url + script)).status, 200)
const form = await fetch(url, {
  method: 'POST',
  // Without ORIGIN the adapter assumes HTTPS.
  headers: { origin: url.replace('http:', 'https:') },
  body: new URLSearchParams({ text: 'milk' }),
})
assert.match(await form.text(), /milk/)
const api = await fetch(`${url}/api`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: '{ "text": "milk" }',
})
assert.deepEqual([api.status, await api.json()], [201, { got: { text: 'milk' } }])
