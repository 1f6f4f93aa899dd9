import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { ROUTES_TOPIC } from '../diagnostics/modules/routes-report.ts'
import { workerBoot, workerChannel } from '../ipc/worker-channel.ts'
import { ModuleQueue, type QueuedModule } from './module-queue.ts'

/** Published by Node when a server has begun to listen. */
const LISTENING = 'tracing:net.server.listen:asyncEnd'

/** The deferred modules of this process. */
let queue: ModuleQueue | null = null

/** Has a module loaded as soon as the app serves, or when somebody asks for it. */
export function deferModule(module: QueuedModule): void {
  queue ??= openQueue()
  queue.add(module)
}

function openQueue(): ModuleQueue {
  const boot = workerBoot()
  const release = boot?.hold() ?? (() => {})
  const opened = new ModuleQueue(release)
  workerChannel()?.report(ROUTES_TOPIC, () => opened.report())
  if (boot === null) onListening(() => opened.loadAll(false))
  else boot.onServing((ready) => opened.loadAll(!ready))
  return opened
}

/** Outside of Punctual an app serves when its first server listens; before that nobody can be in a hurry. */
function onListening(listener: () => void): void {
  const listening = (): void => {
    unsubscribe(LISTENING, listening)
    listener()
  }
  subscribe(LISTENING, listening)
}
