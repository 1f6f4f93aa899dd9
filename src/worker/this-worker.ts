import { readWorkerConfig } from '../ipc/worker-config.ts'
import { patchWorkerThreads } from '../patches/worker-threads.ts'
import { Worker } from './worker.ts'

let worker: Worker | null = null

/** Makes this process a worker; called once, by the preload. */
export function startWorker(): void {
  const config = readWorkerConfig()
  // The app and its child processes see the command line and the flags of `node <entry>`.
  process.argv.splice(1, process.argv.length - 1, config.entry, ...config.appArguments)
  process.execArgv.splice(0, process.execArgv.length, ...config.appFlags)
  patchWorkerThreads([...config.settings.import.flatMap((module) => ['--import', module]), ...config.appFlags])
  // Sockets that systemd has passed to the arbiter are those of this process.
  if (process.env.LISTEN_PID === String(process.ppid)) process.env.LISTEN_PID = String(process.pid)
  worker = new Worker(config)
}

/** The worker that this process is. */
export function thisWorker(): Worker {
  if (worker === null) throw new Error('this process is not a worker: it was started without the preload')
  return worker
}
