import assert from 'node:assert/strict'
import { GraphQLClient } from 'graphql-request'

const [, , url] = process.argv
const client = new GraphQLClient(`${url}/graphql`)
assert.deepEqual(await client.request('{ hello(name: "you") }'), { hello: 'hello you' })
assert.deepEqual(await client.request('mutation { add(a: 1, b: 2) }'), { add: 3 })
await assert.rejects(client.request('{ nothing }'), (error) => error.response.status === 400)
