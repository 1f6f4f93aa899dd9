/**
 * Has the app's flags while the arbiter runs without them. Two underscores: it is not a setting.
 */
const VARIABLE = 'PUNCTUAL__NODE'

/** Flags of Node that load a module before the entry. Each takes a value. */
const PRELOADS = new Set(['-r', '--require', '--import', '--loader', '--experimental-loader'])

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

/** Node's flags without those that load modules. */
export function withoutPreloads(flags: readonly string[]): string[] {
  const kept: string[] = []
  for (let index = 0; index < flags.length; index++) {
    const flag = flags[index] as string
    const [name = '', value] = flag.split('=', 2)
    // `-r agent` has its value in the next argument, `--require=agent` in the same.
    if (!PRELOADS.has(name.replaceAll('_', '-'))) kept.push(flag)
    else if (value === undefined) index++
  }
  return kept
}

/** Splits `NODE_OPTIONS` as Node does: at spaces, except in double quotes. */
export function splitNodeOptions(text: string): string[] {
  const flags: string[] = []
  let flag = ''
  let isQuoted = false
  let hasBegun = false
  for (let index = 0; index < text.length; index++) {
    let character = text[index] as string
    if (character === '\\' && isQuoted && index + 1 < text.length) {
      character = text[++index] as string
    } else if (character === ' ' && !isQuoted) {
      if (hasBegun) flags.push(flag)
      flag = ''
      hasBegun = false
      continue
    } else if (character === '"') {
      isQuoted = !isQuoted
      hasBegun = true
      continue
    }
    flag += character
    hasBegun = true
  }
  if (hasBegun) flags.push(flag)
  return flags
}

/** The text of `NODE_OPTIONS` that Node splits into these flags. */
export function joinNodeOptions(flags: readonly string[]): string {
  return flags.map((flag) => (/^[^\s"\\]+$/.test(flag) ? flag : `"${flag.replace(/["\\]/g, '\\$&')}"`)).join(' ')
}
