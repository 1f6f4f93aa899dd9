import { joinNodeOptions, splitNodeOptions, withoutPreloads } from './node-options.ts'

/**
 * Has the app's flags while the arbiter runs without them. Two underscores: it is not a setting.
 */
const VARIABLE = 'PUNCTUAL__NODE'

interface AppOptions {
  readonly execArgv: readonly string[]
  readonly nodeOptions: string | undefined
}

/**
 * Keeps agents of the app out of the arbiter. `node -r agent punctual run …` and
 * `NODE_OPTIONS='--import agent'` load them here before any code of Punctual runs, although they
 * are meant for the app. So the process executes itself again, with the same pid, without the flags
 * that load modules. Then `process.execArgv` and `NODE_OPTIONS` are restored: Node has read them
 * already, and workers and release steps get them.
 *
 * Does nothing when there are no such flags, and where it would lose something: a debugger, the IPC
 * channel of a process manager, sockets that systemd has passed.
 */
export function restartWithoutPreloads(argv: readonly string[]): void {
  const { env, execArgv } = process
  const saved = env[VARIABLE]
  if (saved !== undefined) {
    delete env[VARIABLE]
    const { execArgv: flags, nodeOptions } = JSON.parse(saved) as AppOptions
    execArgv.splice(0, execArgv.length, ...flags)
    if (nodeOptions !== undefined) env.NODE_OPTIONS = nodeOptions
    return
  }
  const options = splitNodeOptions(env.NODE_OPTIONS ?? '')
  const [keptFlags, keptOptions] = [withoutPreloads(execArgv), withoutPreloads(options)]
  const isUnchanged = keptFlags.length === execArgv.length && keptOptions.length === options.length
  const isInspected = [...keptFlags, ...keptOptions].some((flag) => flag.startsWith('--inspect'))
  if (isUnchanged || isInspected || process.connected || env.LISTEN_FDS !== undefined) return
  const appOptions: AppOptions = { execArgv, nodeOptions: env.NODE_OPTIONS }
  try {
    process.execve?.(process.execPath, [process.argv0, ...keptFlags, ...argv.slice(1)], {
      ...env,
      NODE_OPTIONS: joinNodeOptions(keptOptions),
      [VARIABLE]: JSON.stringify(appOptions),
    })
  } catch {
    // Node's permission model may forbid it. The arbiter runs with the agents.
  }
}
