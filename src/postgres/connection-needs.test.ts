import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectionShortage, tellShortage } from './connection-needs.ts'

const server = { most: 100, reserved: 3 }
const pools = [
  { name: 'main', max: 20 },
  { name: 'jobs', max: 5 },
]

test('what the server can bear is no shortage', () => {
  assert.equal(connectionShortage({ ...server, pools, workers: 1, reloads: true }), null)
  assert.equal(connectionShortage({ ...server, pools, workers: 3, reloads: false }), null)
})

test('what it cannot bear is told with the arithmetic, and with what would be enough', () => {
  const reloading = connectionShortage({ ...server, pools, workers: 2, reloads: true }) ?? assert.fail()
  const figures = { each: 25, needed: 50, peak: 100, available: 97, enough: 24 }
  assert.deepEqual(reloading, { ...server, pools, workers: 2, reloads: true, ...figures })
  assert.equal(
    tellShortage(reloading),
    '2 workers × 25 connections (main 20, jobs 5) = 50, and 100 while a reload runs two generations; the server has 97 for them (max_connections 100, 3 of it reserved): lower `max` to 24 in all, raise max_connections, or put a bouncer in between',
  )
  const restarting = connectionShortage({ ...server, pools, workers: 4, reloads: false })
  assert.deepEqual([restarting?.needed, restarting?.peak, restarting?.enough], [100, 100, 24])
  assert.equal(connectionShortage({ ...server, pools, workers: 200, reloads: true })?.enough, 0)
})
