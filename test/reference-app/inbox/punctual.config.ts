// An app of your own writes `from 'punctual'`: this one lies in the repository of Punctual itself.
import { defineConfig, type PunctualConfig } from '../../../src/index.ts'
import { inboxDatabase } from './database.ts'

const config: PunctualConfig = defineConfig({
  workers: 2,
  release: [
    {
      name: 'migrate',
      run: async ({ log }) => {
        // Imported here: the arbiter reads this file too, and needs no database.
        const { migrateInbox } = await import('./migrate-inbox.ts')
        for (const name of migrateInbox(inboxDatabase())) log(`${name} was run`)
      },
      timeout: '5m',
    },
  ],
  releaseLock: `sqlite:${inboxDatabase()}`,
})

export default config
