import assert from 'node:assert/strict'
import { createClient } from 'graphql-sse'

const [, , url] = process.argv
const query = await fetch(`${url}/graphql?query={hello}`)
assert.deepEqual(await query.json(), { data: { hello: 'hello' } })
const client = createClient({ url: `${url}/graphql`, retryAttempts: 0 })
const seen = []
for await (const { data } of client.iterate({ query: 'subscription { countdown(from: 5) }' })) seen.push(data.countdown)
assert.deepEqual(seen, [5, 4, 3, 2, 1, 0])
client.dispose()
