import { loadPackageDefinition, Server, ServerCredentials } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

const { sums } = loadPackageDefinition(loadSync(new URL('sums.proto', import.meta.url).pathname))
const server = new Server()
server.addService(sums.Sums.service, {
  Add: ({ request }, callback) => callback(null, { sum: request.numbers.reduce((sum, number) => sum + number, 0) }),
  Count: (call) => {
    for (let i = 1; i <= call.request.sum; i++) call.write({ sum: i })
    call.end()
  },
})
server.bindAsync(`127.0.0.1:${process.env.PORT}`, ServerCredentials.createInsecure(), (error) => {
  if (error) throw error
})
process.on('SIGTERM', () => server.tryShutdown(() => console.log('clean-up done')))
