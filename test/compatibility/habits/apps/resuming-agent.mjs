// What agents do that read local variables (Sentry) or set breakpoints (dd-trace): a thread with
// inspector sessions of the main thread, which resume it from each pause.
import cluster from 'node:cluster'
import { Session } from 'node:inspector'
import { isMainThread, Worker } from 'node:worker_threads'

const SESSIONS = 4

if (!isMainThread) {
  for (let count = 0; count < SESSIONS; count++) {
    const session = new Session()
    session.connectToMainThread()
    session.on('Debugger.paused', () => session.post('Debugger.resume', () => {}))
    session.post('Debugger.enable')
  }
  setInterval(() => {}, 1_000)
} else if (cluster.isWorker) {
  new Worker(new URL(import.meta.url), { execArgv: [] }).unref()
}
