import { fileURLToPath } from 'node:url'

/** The settings of Punctual that `npm start` needs itself. All others are passed on unread. */
export interface RunFlags {
  /** For `punctual run`, after the entry. */
  readonly args: readonly string[]
  readonly host: string
  /** NaN for an invalid value, which Punctual reports. */
  readonly port: number
  readonly adminHost: string
  readonly adminPort: number
  readonly stateDir: string
  /** A config file of your own may set other ports. */
  readonly hasConfig: boolean
}

/** The config file of the app, with its release steps. */
export const RELEASE_CONFIG: string = fileURLToPath(new URL('../punctual.config.ts', import.meta.url))

/** Adds the config file of the app, unless another one is given. */
export function readRunFlags(given: readonly string[], env: NodeJS.ProcessEnv): RunFlags {
  const end = given.indexOf('--')
  const flags = end === -1 ? given : given.slice(0, end)
  const value = (name: string): string | undefined => {
    const at = flags.findLastIndex((flag) => flag === `--${name}` || flag.startsWith(`--${name}=`))
    if (at === -1) return undefined
    return flags[at]?.includes('=') ? flags[at].slice(name.length + 3) : flags[at + 1]
  }
  const hasConfig = value('config') !== undefined || env.PUNCTUAL_CONFIG !== undefined
  const host = value('host') ?? env.PUNCTUAL_HOST ?? env.HOST
  return {
    args: hasConfig ? given : ['--config', RELEASE_CONFIG, ...given],
    host: host ?? '127.0.0.1',
    port: Number(value('port') ?? env.PUNCTUAL_PORT ?? env.PORT ?? 3000),
    adminHost: value('admin-host') ?? env.PUNCTUAL_ADMIN_HOST ?? '127.0.0.1',
    adminPort: Number(value('admin-port') ?? env.PUNCTUAL_ADMIN_PORT ?? 19464),
    stateDir: value('state-dir') ?? env.PUNCTUAL_STATE_DIR ?? '.punctual',
    hasConfig,
  }
}

/** Formats a URL for a browser on this machine: a wildcard address becomes loopback. */
export function urlOf(host: string, port: number): string {
  const name = host === '0.0.0.0' || host === '::' ? '127.0.0.1' : host.includes(':') ? `[${host}]` : host
  return `http://${name}:${port}`
}
