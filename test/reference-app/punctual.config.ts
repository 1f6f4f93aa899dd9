// An app of your own writes `from 'punctual'`: this one lies in the repository of Punctual itself.
import { defineConfig, type PunctualConfig } from '../../src/index.ts'

/** What `npm start` runs the app by. The release steps run once before any worker, and before each reload; flags and variables go before what is here. */
const config: PunctualConfig = defineConfig({
  workers: 2,
  // This machine only: the `/try` routes break things on purpose.
  host: '127.0.0.1',
  release: [
    {
      name: 'migrate',
      run: async ({ log }) => {
        // Imported by the step alone: the arbiter reads this file too, and needs no database.
        const [{ migrateDatabase }, { tellMigrations }] = await importRelease()
        log(tellMigrations(await migrateDatabase(directUrl())))
      },
      timeout: '8m',
    },
    {
      name: 'seed',
      run: async ({ log }) => {
        const [{ seedDatabase }, { tellSeed }] = await importRelease()
        log(tellSeed(await seedDatabase(directUrl())))
      },
      timeout: '3m',
    },
  ],
  // The app's own DATABASE_URL leads through what can be made slow; a lock needs a direct connection.
  releaseLock: 'env:DIRECT_DATABASE_URL',
})

function importRelease() {
  return Promise.all([import('./database/release.ts'), import('./database/release-report.ts')])
}

function directUrl(): string {
  return process.env.DIRECT_DATABASE_URL ?? ''
}

export default config
