import { join } from 'node:path'
import { freePort, ServedApp, WORKERS } from './served-app.ts'

const HERE = import.meta.dirname
const PACKAGES = join(HERE, '../node_modules')
const ENTRY = 'server.js'

export const APPS = ['plain', 'fastify'] as const
export type AppName = (typeof APPS)[number]

/** A server that runs the app with two workers. */
export interface Contender {
  readonly name: string
  readonly title: string
  /** @param directory for its files; removed by the caller */
  start(app: AppName, directory: string): Promise<ServedApp>
}

/** Name of the contender that all others are compared with. */
export const BASELINE = 'cluster-none'
/** The same for `--compare`. */
export const COMPARED = { name: 'punctual-compared', title: 'Punctual, compared' } as const

/** @param punctuals `bin/punctual.js` of each build of Punctual to measure, by title */
export function contenders(punctuals: ReadonlyMap<string, string>): readonly Contender[] {
  return [
    cluster('none', 'node:cluster, shared handle', BASELINE),
    // The difference of its ratio from 1 is the error of the method.
    cluster('none', 'the same again, as a control', 'control'),
    cluster('rr', 'node:cluster, round robin'),
    ...[...punctuals].map(([title, program]) => punctual(title, program)),
    pm2,
    watt,
  ]
}

function cluster(policy: 'none' | 'rr', title: string, name = `cluster-${policy}`): Contender {
  return contender(name, title, (entry) => ({ args: [join(HERE, 'cluster.js'), policy, entry] }))
}

/** Default settings, except for the number of workers, the addresses and the state directory. */
function punctual(title: string, program: string): Contender {
  return contender(title.toLowerCase().replaceAll(/[^a-z]+/g, '-'), title, async (entry, port, directory) => {
    const addresses = ['--port', String(port), '--host', '127.0.0.1', '--admin-port', String(await freePort())]
    const state = ['--state-dir', join(directory, 'state')]
    return { args: [program, 'run', entry, '--workers', String(WORKERS), ...addresses, ...state] }
  })
}

/**
 * Runs in the foreground, so that it exits with the bench; the cluster mode is that of the daemon.
 */
const pm2 = contender('pm2', 'PM2', (entry, _port, directory) => ({
  args: [join(PACKAGES, 'pm2/bin/pm2-runtime'), 'start', entry, '-i', String(WORKERS)],
  env: { PM2_HOME: directory },
}))

/** The number of workers is in the watt.json of the app. */
const watt = contender('watt', 'Watt', (entry) => ({
  args: [join(PACKAGES, 'wattpm/bin/cli.js'), 'start'],
  cwd: join(entry, '..'),
}))

interface Start {
  readonly args: readonly string[]
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}

function contender(
  name: string,
  title: string,
  prepare: (entry: string, port: number, directory: string) => Start | Promise<Start>,
): Contender {
  return {
    name,
    title,
    async start(app, directory) {
      const port = await freePort()
      const { args, cwd = directory, env = {} } = await prepare(join(HERE, 'apps', app, ENTRY), port, directory)
      return ServedApp.start(name, { program: process.execPath, args, cwd, env }, port, directory)
    },
  }
}
