import { start } from 'unleash-server'

const { stop } = await start({
  databaseUrl: process.env.DATABASE_URL,
  db: { ssl: false },
  server: { port: Number(process.env.PORT), host: process.env.HOST, gracefulShutdownEnable: false },
  versionCheck: { enable: false },
  telemetry: false,
  logLevel: 'warn',
  authentication: { type: 'none', initApiTokens: [{ environment: 'development', project: '*', secret: '*:development.for-this-test', type: 'backend', tokenName: 'compat' }] },
  preHook: (app) =>
    app.get('/spin', (_, response) => {
      for (const end = Date.now() + 20_000; Date.now() < end; );
      response.send('spun')
    }),
})
process.on('SIGTERM', async () => {
  await stop()
  console.log('clean-up done')
  process.exit()
})
