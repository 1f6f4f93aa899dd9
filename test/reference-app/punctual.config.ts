// Your own app imports from 'punctual'; this one is part of its repository.
import { defineConfig, type PunctualConfig } from '../../src/index.ts'

/**
 * The config file of `npm start`. The release steps run once before any worker and before each
 * reload; flags and variables override it.
 */
const config: PunctualConfig = defineConfig({
  workers: 2,
  // This machine only: the `/try` routes cause faults on purpose.
  host: '127.0.0.1',
  release: [
    {
      name: 'migrate',
      run: async ({ log }) => {
        // Imported by the step only, because the arbiter also reads this file and needs no
        // database.
        const [{ migrateDatabase }, { formatMigrations }] = await importRelease()
        log(formatMigrations(await migrateDatabase(directUrl())))
      },
      timeout: '8m',
    },
    {
      name: 'seed',
      run: async ({ log }) => {
        const [{ seedDatabase }, { formatSeed }] = await importRelease()
        log(formatSeed(await seedDatabase(directUrl())))
      },
      timeout: '3m',
    },
  ],
  // The app's DATABASE_URL points to a proxy that can be slowed down; the lock needs a direct
  // connection.
  releaseLock: 'env:DIRECT_DATABASE_URL',
})

function importRelease() {
  return Promise.all([import('./database/release.ts'), import('./database/release-report.ts')])
}

function directUrl(): string {
  return process.env.DIRECT_DATABASE_URL ?? ''
}

export default config
