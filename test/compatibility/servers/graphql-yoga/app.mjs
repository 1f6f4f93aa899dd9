import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { createSchema, createYoga } from 'graphql-yoga'

const yoga = createYoga({
  logging: false,
  schema: createSchema({
    typeDefs: 'type Query { hello: String! spin: String! } type Subscription { countdown(from: Int!): Int! }',
    resolvers: {
      Query: {
        hello: () => 'hello',
        spin: () => {
          for (const end = Date.now() + 20_000; Date.now() < end; );
          return 'spun'
        },
      },
      Subscription: {
        countdown: {
          async *subscribe(_, { from }) {
            for (let i = from; i >= 0; i--) {
              await sleep(50)
              yield { countdown: i }
            }
          },
        },
      },
    },
  }),
})
const http = createServer(yoga).listen(process.env.PORT)
process.on('SIGTERM', () => http.close(() => console.log('clean-up done')))
