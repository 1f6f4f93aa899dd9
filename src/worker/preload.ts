import { isMainThread } from 'node:worker_threads'
import { keepTickShape } from '../patches/tick-shape.ts'

// The first `--import` of a worker, before the app's own preloads: starts the watchdog and patches
// Node. A thread with `execArgv` of its own may inherit the flag, and must not become a worker.
const boot = /[/\\]worker[/\\]boot\.[tj]s$/
if (isMainThread && process.connected && boot.test(process.argv[1] ?? '')) {
  keepTickShape()
  const { startWorker, thisWorker } = await import('./this-worker.ts')
  startWorker()
  if (thisWorker().config.settings.bootProfile === 'on') {
    const { profileBoot } = await import('./boot-profile.ts')
    thisWorker().endProfile = profileBoot()
  }
}
