import assert from 'node:assert/strict'
import { test } from 'node:test'
import { connectionShortage, formatShortage } from './connection-capacity.ts'

const server = { most: 100, reserved: 3 }
const pools = [
  { name: 'main', max: 20 },
  { name: 'jobs', max: 5 },
]

test('there is no shortage if the server has enough connections', () => {
  assert.equal(connectionShortage({ ...server, pools, workers: 1, reloads: true }), null)
  assert.equal(connectionShortage({ ...server, pools, workers: 3, reloads: false }), null)
})

test('a shortage is formatted with its arithmetic and with a sufficient maximum', () => {
  const reloading = connectionShortage({ ...server, pools, workers: 2, reloads: true }) ?? assert.fail()
  const figures = { each: 25, needed: 50, peak: 100, available: 97, enough: 24 }
  assert.deepEqual(reloading, { ...server, pools, workers: 2, reloads: true, ...figures })
  assert.equal(
    formatShortage(reloading),
    '2 workers × 25 connections (main 20, jobs 5) = 50, and 100 during a reload; the server has 97 (max_connections 100, 3 reserved): lower `max` to 24 in total, raise max_connections, or use a connection pooler',
  )
  const restarting = connectionShortage({ ...server, pools, workers: 4, reloads: false })
  assert.deepEqual([restarting?.needed, restarting?.peak, restarting?.enough], [100, 100, 24])
  assert.equal(connectionShortage({ ...server, pools, workers: 200, reloads: true })?.enough, 0)
})
