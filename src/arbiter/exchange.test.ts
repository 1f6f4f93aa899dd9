import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Exchange } from './exchange.ts'
import { appointHeirs } from './heirs.ts'

function exchangeOf(...workers: readonly number[]): { exchange: Exchange; said: string[] } {
  const exchange = new Exchange()
  const said: string[] = []
  for (const worker of workers) {
    exchange.joined(worker, (topic, message) => said.push(`${worker} ${topic} ${JSON.stringify(message)}`))
  }
  return { exchange, said }
}

/** Has a worker say that it defers work. */
function ownerOf(exchange: Exchange): (worker: number) => boolean {
  return (worker) => {
    const message = { type: 'owner', owner: `o${worker}` }
    return exchange.told(worker, { type: 'relay', to: 'arbiter', topic: 'defer', message })
  }
}

test('what a worker broadcasts is heard by all others, and not by itself', () => {
  const { exchange, said } = exchangeOf(1, 2, 3)
  assert.equal(exchange.told(2, { type: 'relay', to: 'others', topic: 'cache', message: ['key'] }), true)
  assert.deepEqual(said, ['1 cache ["key"]', '3 cache ["key"]'])
})

test('the reports of a worker are the newest, and end with it', () => {
  const { exchange } = exchangeOf(1)
  exchange.told(1, { type: 'modules', modules: { cache: 1 } })
  exchange.told(1, { type: 'modules', modules: { cache: 2 } })
  assert.deepEqual(exchange.reportsOf(1), { cache: 2 })
  exchange.left(1)
  exchange.told(1, { type: 'modules', modules: { cache: 3 } })
  assert.deepEqual(exchange.reportsOf(1), {})
})

test('what is not of the line is left to whoever decides', () => {
  const { exchange } = exchangeOf(1)
  assert.equal(exchange.told(1, { type: 'drained', answered: 0, aborted: 0, closedUpgrades: 0 }), false)
})

test('the newest of those who defer work is told to take up what a lost worker left', () => {
  const { exchange, said } = exchangeOf(1, 2, 3, 4)
  appointHeirs(exchange)
  const own = ownerOf(exchange)
  own(1)
  own(2)
  own(3)
  exchange.left(3)
  exchange.left(4)
  assert.deepEqual(said, ['2 defer {"type":"adopt","owner":"o3"}'])
  exchange.left(1)
  exchange.left(2)
  assert.deepEqual(said.slice(1), ['2 defer {"type":"adopt","owner":"o1"}'])
})

test('what comes from a worker that is gone is still heard by the others, and does not make it an heir', () => {
  const { exchange, said } = exchangeOf(1, 2, 3)
  appointHeirs(exchange)
  const own = ownerOf(exchange)
  own(1)
  own(2)
  exchange.left(3)
  own(3)
  exchange.told(3, { type: 'relay', to: 'others', topic: 'cache', message: ['key'] })
  assert.deepEqual(said, ['1 cache ["key"]', '2 cache ["key"]'])
  exchange.left(1)
  assert.deepEqual(said.slice(2), ['2 defer {"type":"adopt","owner":"o1"}'])
})
