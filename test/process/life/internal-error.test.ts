import assert from 'node:assert/strict'
import { it } from 'node:test'
import { request, requests, tally } from '../support/client.ts'
import { printedCode } from '../support/printed-error.ts'
import { startServer } from '../support/server.ts'
import { until, within } from '../support/until.ts'

/** `/forge` sends the arbiter a malformed message, on which `decide` throws. */
const APP = {
  'app.js': `
let hanging = 0
export default (request, response) => {
  if (request.url === '/hang') return void hanging++
  if (request.url === '/forge') process.send({ punctual: { type: 'crashing' } })
  response.end(String(hanging))
}
`,
}

it('an arbiter that fails answers requests in flight, kills its workers, and exits with code 1 and an incident', async () => {
  await using server = await startServer({ files: APP, settings: { workers: 1 } })
  const hanging = requests(5, `${server.url}/hang`)
  await until('5 requests in flight', async () => (await request(server.url)).body === '5')
  await request(`${server.url}/forge`)
  assert.deepEqual(tally(await Promise.all(hanging)), { 503: 5 })
  assert.deepEqual(await within('the server to stop', server.exit), { code: 1, signal: null })
  const message = server.lines.filter(({ level }) => level === '').map(({ msg }) => msg)
  assert.equal(printedCode(message.join('\n')), 'PUNCTUAL_INTERNAL_ERROR', message.join('\n'))
  const incident = await server.incident('of the arbiter', ({ kind }) => kind === 'internal-error')
  assert.partialDeepStrictEqual(incident, { worker: null, outcome: 'exited', during: 'message' })
  assert.equal(incident.error?.name, 'TypeError')
})
