import assert from 'node:assert/strict'

// Deploys a flow through the API of the editor, and calls it.
const [, , url] = process.argv
const text = `hello ${process.pid}`
const flow = [
  { id: 't', type: 'tab', label: 'compat' },
  { id: 'in', z: 't', type: 'http in', url: '/greeting', method: 'get', wires: [['fn']] },
  { id: 'fn', z: 't', type: 'function', func: `msg.payload = ${JSON.stringify(text)}; return msg`, outputs: 1, wires: [['out']] },
  { id: 'out', z: 't', type: 'http response', wires: [] },
]
const deployed = await fetch(`${url}/flows`, {
  method: 'POST',
  headers: { 'content-type': 'application/json', 'node-red-deployment-type': 'full' },
  body: JSON.stringify(flow),
})
assert.equal(deployed.status, 204)
// A deployment is answered before its flows run.
for (const end = Date.now() + 20_000; Date.now() < end; ) {
  if ((await (await fetch(`${url}/greeting`)).text()) === text) break
}
for (let i = 0; i < 10; i++) {
  const response = await fetch(`${url}/greeting`, { headers: { connection: 'close' } })
  assert.equal(await response.text(), text)
}
