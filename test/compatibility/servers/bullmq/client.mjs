import assert from 'node:assert/strict'

const [, , url] = process.argv
const sums = Array.from({ length: 10 }, async (_, i) => {
  const response = await fetch(`${url}/sums/${i}/1`, { method: 'POST' })
  assert.deepEqual(await response.json(), { sum: i + 1 })
})
await Promise.all(sums)
const page = await fetch(`${url}/queues`)
assert.match(await page.text(), /Bull Dashboard/i)
const state = await (await fetch(`${url}/queues/api/queues?activeQueue=sums`)).json()
assert.ok(state.queues[0].counts.completed >= 10)
