import { RestApplication } from '@loopback/rest'

const app = new RestApplication({
  rest: { port: Number(process.env.PORT), host: process.env.HOST, gracePeriodForClose: 5_000 },
  shutdown: { signals: [] },
})
const text = { responses: { 200: { description: 'ok', content: { 'text/plain': { schema: { type: 'string' } } } } } }
app.route('get', '/', text, () => 'hello')
app.route('get', '/spin', text, () => {
  for (const end = Date.now() + 20_000; Date.now() < end; );
  return 'spun'
})
app.route(
  'post',
  '/sums',
  {
    requestBody: {
      required: true,
      content: {
        'application/json': {
          schema: { type: 'object', required: ['numbers'], properties: { numbers: { type: 'array', items: { type: 'number' } } } },
        },
      },
    },
    responses: { 200: { description: 'ok', content: { 'application/json': { schema: { type: 'object' } } } } },
  },
  ({ numbers }) => ({ sum: numbers.reduce((sum, number) => sum + number, 0) }),
)
app.onStop(() => console.log('clean-up done'))
await app.start()
process.on('SIGTERM', () => app.stop())
