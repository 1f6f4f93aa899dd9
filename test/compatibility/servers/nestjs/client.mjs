import assert from 'node:assert/strict'
import { ClientProxyFactory, Transport } from '@nestjs/microservices'

const [, , url, load] = process.argv
const { hostname, port } = new URL(url)

async function callByTcp() {
  const client = ClientProxyFactory.create({ transport: Transport.TCP, options: { host: hostname, port: Number(port) } })
  try {
    await client.connect()
    const sum = await new Promise((next, error) => client.send('sum', [1, 2, 3]).subscribe({ next, error }))
    assert.equal(sum, 6)
  } finally {
    client.close()
  }
}

async function callByHttp() {
  assert.deepEqual(await (await fetch(`${url}/greetings/you`)).json(), { greeting: 'hello you' })
  const sum = await fetch(`${url}/sums`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{ "numbers": [1, 2, 3] }',
  })
  assert.deepEqual([sum.status, await sum.json()], [201, { sum: 6 }])
  assert.equal((await fetch(`${url}/nothing`)).status, 404)
}

const once = process.env.CLIENT === 'tcp' ? callByTcp : callByHttp
if (load === undefined) await once()
else {
  const result = { total: 0, failed: [] }
  let stopped = false
  process.on('SIGTERM', () => (stopped = true))
  while (!stopped || result.total < 100) {
    await once().catch((error) => result.failed.push(String(error.stack ?? error)))
    result.total++
  }
  console.log(JSON.stringify(result))
}
