/** Flags of Node that load a module before the entry. Each takes a value. */
const PRELOADS = new Set(['-r', '--require', '--import', '--loader', '--experimental-loader'])

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
