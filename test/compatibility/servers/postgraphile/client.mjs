import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'

const [, , url] = process.argv
const ask = async (query, variables) => {
  const response = await fetch(`${url}/graphql`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify({ query, variables }),
  })
  const { data, errors } = await response.json()
  assert.equal(errors, undefined, JSON.stringify(errors))
  return data
}
const text = randomUUID()
const created = await ask(
  'mutation ($text: String!) { createNote(input: { note: { text: $text } }) { note { text } } }',
  { text },
)
assert.equal(created.createNote.note.text, text)
const found = await ask('query ($text: String!) { allNotes(condition: { text: $text }) { totalCount } }', { text })
assert.equal(found.allNotes.totalCount, 1)
