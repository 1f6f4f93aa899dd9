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

/** What everybody is compared with. */
export const BASELINE = 'cluster-none'

/** @param punctuals `bin/punctual.js` of each build of Punctual that takes part, by its title */
export function contenders(punctuals: ReadonlyMap<string, string>): readonly Contender[] {
  return [
    cluster('none', 'node:cluster, shared handle', BASELINE),
    // What it comes out at is the error of the method.
    cluster('none', 'the same once more, as control', 'control'),
    cluster('rr', 'node:cluster, round robin'),
    ...[...punctuals].map(([title, program]) => punctual(title, program)),
    pm2,
    watt,
  ]
}

function cluster(policy: 'none' | 'rr', title: string, name = `cluster-${policy}`): Contender {
  return contender(name, title, (entry) => ({ args: [join(HERE, 'cluster.js'), policy, entry] }))
}

/** With its own settings, but for the number of workers and where it keeps its things. */
function punctual(title: string, program: string): Contender {
  return contender(title.toLowerCase().replaceAll(/[^a-z]+/g, '-'), title, async (entry, port, directory) => {
    const places = ['--port', String(port), '--host', '127.0.0.1', '--admin-port', String(await freePort())]
    const state = ['--state-dir', join(directory, 'state')]
    return { args: [program, 'run', entry, '--workers', String(WORKERS), ...places, ...state] }
  })
}

/** In the foreground, so that it ends with us; its cluster mode is the same as the daemon's. */
const pm2 = contender('pm2', 'PM2', (entry, _port, directory) => ({
  args: [join(PACKAGES, 'pm2/bin/pm2-runtime'), 'start', entry, '-i', String(WORKERS)],
  env: { PM2_HOME: directory },
}))

/** Its number of workers is in the app's watt.json. */
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
