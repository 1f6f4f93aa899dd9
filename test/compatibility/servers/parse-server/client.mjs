import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import Parse from 'parse/node'

const [, , url] = process.argv
Parse.initialize('compat', undefined, 'for this test only')
Parse.serverURL = `${url}/parse`
const text = randomUUID()
const note = new Parse.Object('Note')
await note.save({ text }, { useMasterKey: true })
const found = await new Parse.Query('Note').equalTo('text', text).find({ useMasterKey: true })
assert.deepEqual(found.map((one) => one.id), [note.id])
assert.equal(await Parse.Cloud.run('double', { number: 21 }), 42)
process.exit()
