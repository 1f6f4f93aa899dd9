import assert from 'node:assert/strict'
import { it } from 'node:test'
import { expressPattern } from './route-of.ts'

it('the pattern of a route has the path of its router, and never the host that a client sent', () => {
  assert.equal(expressPattern({ path: '/:id' }, '/users'), '/users/:id')
  assert.equal(expressPattern({ path: '/' }, '/users'), '/users')
  // As Sails sets it.
  assert.equal(expressPattern({ path: '/users/:id' }, 'http://evil.example:1337'), '/users/:id')
  assert.equal(expressPattern({ path: '/:id' }, 'https://evil.example/users'), '/users/:id')
})
