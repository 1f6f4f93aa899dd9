import assert from 'node:assert/strict'

const [, , url] = process.argv
const name = `compat-${process.pid}`
const created = await fetch(`${url}/api/admin/projects/default/features`, {
  method: 'POST',
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify({ name }),
})
assert.equal(created.status, 201, await created.text())
const { features } = await (await fetch(`${url}/api/admin/projects/default/features`)).json()
assert.ok(features.some((feature) => feature.name === name))
