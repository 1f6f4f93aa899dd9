import assert from 'node:assert/strict'

const [, , url] = process.argv
for (let i = 0; i < 5; i++) assert.equal(await (await fetch(`${url}/calls`)).text(), 'hello')
