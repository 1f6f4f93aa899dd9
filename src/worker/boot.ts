import { loadEntry } from './load-entry.ts'
import { thisWorker } from './this-worker.ts'

/** Main module of a worker process: loads the app in its own place. */
const worker = thisWorker()
const { entry, settings } = worker.config
try {
  worker.loaded(await loadEntry(entry, settings, worker.traffic))
} catch (error) {
  await worker.failBoot(error)
}
