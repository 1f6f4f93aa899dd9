import { createServer } from 'node:http'
import { ApolloServer } from '@apollo/server'
import { ApolloServerPluginDrainHttpServer } from '@apollo/server/plugin/drainHttpServer'
import { expressMiddleware } from '@as-integrations/express5'
import express from 'express'

const app = express()
const http = createServer(app)
const spin = () => {
  for (const end = Date.now() + 20_000; Date.now() < end; );
  return 'spun'
}
const server = new ApolloServer({
  typeDefs: 'type Query { hello(name: String!): String! spin: String! } type Mutation { add(a: Int!, b: Int!): Int! }',
  resolvers: {
    Query: { hello: (_, { name }) => `hello ${name}`, spin },
    Mutation: { add: (_, { a, b }) => a + b },
  },
  plugins: [
    ApolloServerPluginDrainHttpServer({ httpServer: http }),
    { serverWillStart: async () => ({ serverWillStop: async () => console.log('clean-up done') }) },
  ],
  stopOnTerminationSignals: true,
  csrfPrevention: false,
})
await server.start()
app.get('/', (_, response) => response.send('hello'))
app.use('/graphql', express.json(), expressMiddleware(server))
http.listen(process.env.PORT)
