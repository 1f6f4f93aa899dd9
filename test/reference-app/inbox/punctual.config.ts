// Your own app imports from 'punctual'; this one is part of its repository.
import { defineConfig, type PunctualConfig } from '../../../src/index.ts'
import { inboxDatabase } from './database.ts'

const config: PunctualConfig = defineConfig({
  workers: 2,
  release: [
    {
      name: 'migrate',
      run: async ({ log }) => {
        // Imported here, because the arbiter also reads this file and needs no database.
        const { migrateInbox } = await import('./migrate-inbox.ts')
        for (const name of migrateInbox(inboxDatabase())) log(`ran ${name}`)
      },
      timeout: '5m',
    },
  ],
  releaseLock: `sqlite:${inboxDatabase()}`,
})

export default config
