import assert from 'node:assert/strict'
import { credentials, loadPackageDefinition } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

const [, , url, load] = process.argv
const { sums } = loadPackageDefinition(loadSync(new URL('sums.proto', import.meta.url).pathname))
const client = new sums.Sums(url.replace('http://', ''), credentials.createInsecure())

const add = (numbers) =>
  new Promise((resolve, reject) => {
    const deadline = Date.now() + 20_000
    client.Add({ numbers }, { deadline }, (error, answer) => (error ? reject(error) : resolve(answer.sum)))
  })

async function once() {
  assert.equal(await add([1, 2, 3]), 6)
  const seen = []
  for await (const { sum } of client.Count({ sum: 3 })) seen.push(sum)
  assert.deepEqual(seen, [1, 2, 3])
}

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
client.close()
