import { syncBuiltinESMExports } from 'node:module'
import { hookChildProcesses } from './hook-child-processes.ts'
import { hookClientSockets } from './hook-client-sockets.ts'
import { hookFetch } from './hook-fetch.ts'
import { hookFiles } from './hook-files.ts'
import { hookLookups } from './hook-lookups.ts'
import { hookNodeHttp } from './hook-node-http.ts'
import type { UnnamedWaitOptions } from './unnamed-wait-options.ts'

/**
 * Sees, from below, what the requests of an unchanged app wait for: sockets they have written to, look-ups, calls, child processes, files. To be called once,
 * before the app is loaded. Each thing is noted where it begins, in a list of its request's; a request that begins nothing has no list.
 */
export function hookUnnamedWaits(options: UnnamedWaitOptions): void {
  if (options.trace || options.propagate) {
    hookNodeHttp(options)
    hookFetch(options)
  }
  if (!options.trace) return
  hookClientSockets()
  hookLookups()
  hookChildProcesses()
  hookFiles()
  // For what has been imported by name already.
  syncBuiltinESMExports()
}
