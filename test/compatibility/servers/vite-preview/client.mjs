import assert from 'node:assert/strict'

const [, , url] = process.argv
const page = await (await fetch(url)).text()
const script = /src="(\/assets\/[^"]+\.js)"/.exec(page)?.[1]
assert.ok(script !== undefined)
assert.match(await (await fetch(url + script)).text(), /hello from vite/)
assert.equal((await fetch(`${url}/any/path`)).status, 200)
