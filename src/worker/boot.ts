import { loadEntry } from './load-entry.ts'
import { thisWorker } from './this-worker.ts'

// The main module of a worker process: loads the app in its place.
const worker = thisWorker()
const { entry, settings } = worker.config
try {
  worker.loaded(await loadEntry(entry, settings, worker))
} catch (error) {
  await worker.failBoot(error)
}
