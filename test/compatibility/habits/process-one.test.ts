import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { type AppDirectory, createAppDirectory } from '../../process/support/app-directory.ts'
import { request } from '../../process/support/client.ts'
import { freePort } from '../../process/support/free-port.ts'
import { LogLines } from '../../process/support/log-lines.ts'
import { signalTo } from '../../process/support/server.ts'
import { until, within } from '../../process/support/until.ts'

const BIN = join(import.meta.dirname, '../../../bin/punctual.js')

/** `/orphan` leaves a process behind whose parent has exited. */
const APP = {
  'app.js': `
import http from 'node:http'
import { spawn } from 'node:child_process'
http.createServer((request, response) => {
  if (request.url === '/orphan') {
    spawn('sh', ['-c', 'sleep 0.1 & echo $!'], { stdio: ['ignore', 'pipe', 'ignore'] }).stdout.pipe(response)
  } else response.end('ok')
}).listen(process.env.PORT)
`,
}

let directory: AppDirectory
let port: number

async function start(command: string, ...args: readonly string[]): Promise<{ child: ChildProcess; log: LogLines }> {
  const run = [process.execPath, BIN, 'run', 'app.js', '--workers', '1', '--admin-port', '0', '--log-format', 'json']
  const child = spawn(command, [...args, ...run, '--port', String(port), '--host', '127.0.0.1'], {
    cwd: directory.path,
    stdio: ['ignore', 'pipe', 'pipe'],
    // In a process group, which is killed as a whole.
    detached: true,
  })
  const log = new LogLines()
  log.collect(child.stdout)
  log.collect(child.stderr)
  try {
    await until('the app to serve', () => log.find('running'))
  } catch (error) {
    killGroup(child)
    throw new Error(log.text, { cause: error })
  }
  return { child, log }
}

function killGroup({ pid }: ChildProcess): void {
  if (pid !== undefined) signalTo(-pid, 'SIGKILL')
}

const canUnshare = spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']).status === 0

describe('punctual run', () => {
  before(async () => {
    directory = createAppDirectory(APP)
    port = await freePort()
  })
  after(() => directory.remove())

  it('as process 1 of a container reaps orphans, passes signals on and exits with its own code', {
    skip: canUnshare ? false : 'cannot create a pid namespace here',
  }, async () => {
    const { child, log } = await start('unshare', '--pid', '--fork', '--mount-proc', '--kill-child')
    try {
      const init = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'latin1').trim()
      for (let count = 0; count < 5; count++) {
        assert.equal((await request(`http://127.0.0.1:${port}/orphan`)).status, 200)
      }
      await until('all orphans to be reaped', () => !below(Number(init)).some(isShellOrZombie))
      process.kill(Number(init), 'SIGHUP')
      await until('the signal to arrive', () => log.find('reloaded'))
      process.kill(Number(init), 'SIGTERM')
      assert.deepEqual(await within('it to exit', once(child, 'exit')), [0, null])
      assert.doesNotMatch(log.text, /Warning/)
    } finally {
      killGroup(child)
    }
  })

  it('whose parent never reaps it is stopped for `punctual stop` once it has exited', async () => {
    const { child } = await start('sh', '-c', '"$@" & exec sleep 600', 'sh')
    try {
      const stopped = spawnSync(process.execPath, [BIN, 'stop', '--timeout', '60s'], { cwd: directory.path })
      assert.equal(stopped.status, 0, String(stopped.stderr))
    } finally {
      killGroup(child)
    }
  })
})

/** The processes whose parent is `pid`. */
function below(pid: number): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => {
      try {
        return readFileSync(`/proc/${name}/stat`, 'latin1')
      } catch {
        return ''
      }
    })
    .filter((stat) => stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] === String(pid))
}

function isShellOrZombie(stat: string): boolean {
  return /\((?:sh|sleep)\)/.test(stat) || stat.slice(stat.lastIndexOf(')') + 2).startsWith('Z')
}
