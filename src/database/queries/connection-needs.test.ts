import assert from 'node:assert/strict'
import { test } from 'node:test'
import { tellConnectionNeeds } from './connection-needs.ts'

const server = { most: 100, reserved: 3 }
const pools = [
  { name: 'main', max: 20 },
  { name: 'jobs', max: 5 },
]

test('what the server can bear is not told', () => {
  assert.equal(tellConnectionNeeds({ ...server, pools, workers: 1, reloads: true }), null)
  assert.equal(tellConnectionNeeds({ ...server, pools, workers: 3, reloads: false }), null)
})

test('what it cannot bear is told with the arithmetic, and with what would be enough', () => {
  assert.equal(
    tellConnectionNeeds({ ...server, pools, workers: 2, reloads: true }),
    '2 workers × 25 connections (main 20, jobs 5) = 50, and 100 while a reload runs two generations; the server has 97 for them (max_connections 100, 3 of it reserved): lower `max` to 24 in all, raise max_connections, or put a bouncer in between',
  )
  assert.match(
    tellConnectionNeeds({ ...server, pools, workers: 4, reloads: false }) ?? '',
    /= 100; the server has 97 .* to 24 in all/,
  )
  assert.match(tellConnectionNeeds({ ...server, pools, workers: 200, reloads: true }) ?? '', /run fewer workers/)
})
