import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { request } from '../../process/support/client.ts'
import { freePort } from '../../process/support/free-port.ts'
import { LogLines } from '../../process/support/log-lines.ts'
import { until, within } from '../../process/support/until.ts'

const REPOSITORY = join(import.meta.dirname, '../../..')
/** In a place where Node compiles TypeScript, as it does not in `node_modules`. */
const PUNCTUAL = 'vendor/punctual'

describe('a deploy that switches the link current to another release', () => {
  const root = mkdtempSync(join(tmpdir(), 'punctual-deploy-'))
  const current = join(root, 'current')
  const log = new LogLines()
  let arbiter: ChildProcess
  let port: number

  function writeRelease(name: string): string {
    const path = join(root, 'releases', name)
    mkdirSync(join(path, PUNCTUAL), { recursive: true })
    for (const part of ['src', 'bin', 'package.json']) {
      cpSync(join(REPOSITORY, part), join(path, PUNCTUAL, part), { recursive: true })
    }
    symlinkSync(join(REPOSITORY, 'node_modules'), join(path, 'node_modules'))
    writeFileSync(join(path, 'package.json'), '{ "type": "module" }')
    writeFileSync(
      join(path, 'app.js'),
      `export default (request, response) => response.end('${name} ' + process.cwd() + ' ' + process.pid)`,
    )
    return path
  }

  /** In one step, as deploy tools do it. */
  function switchTo(name: string): void {
    symlinkSync(join('releases', name), `${current}.new`)
    renameSync(`${current}.new`, current)
  }

  /** What a shell starts after `cd current`. */
  const inCurrent = { cwd: current, env: { ...process.env, PWD: current } }

  function command(...args: readonly string[]): { status: number | null; stdout: string; stderr: string } {
    return spawnSync(process.execPath, [join(PUNCTUAL, 'bin/punctual.js'), ...args], { ...inCurrent, encoding: 'utf8' })
  }

  async function answer(): Promise<string> {
    return (await request(`http://127.0.0.1:${port}`)).body
  }

  before(async () => {
    port = await freePort()
    writeRelease('7')
    switchTo('7')
    const settings = { workers: 1, port, host: '127.0.0.1', 'admin-port': 0, 'log-format': 'json' }
    const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)])
    arbiter = spawn(process.execPath, [join(PUNCTUAL, 'bin/punctual.js'), 'run', 'app.js', ...flags], {
      ...inCurrent,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    for (const stream of [arbiter.stdout, arbiter.stderr]) if (stream !== null) log.collect(stream)
    await until('the app to serve', () => {
      if (arbiter.exitCode !== null) throw new Error(log.text)
      return log.find('running')
    })
  })
  after(async () => {
    if (arbiter.exitCode === null) {
      const exit = once(arbiter, 'exit')
      arbiter.kill('SIGTERM')
      await within('the arbiter to exit', exit).catch(() => arbiter.kill('SIGKILL'))
    }
    rmSync(root, { recursive: true, force: true })
  })

  it('keeps the state directory beside the link, where no release is deleted with it', () => {
    assert.equal(log.find('deployment-link')?.stateDir, join(root, '.punctual/current'))
    assert.equal(existsSync(join(root, 'releases/7/.punctual')), false)
  })

  it('is served after a reload, although the old release was deleted before it', async () => {
    assert.match(await answer(), /^7 /)
    writeRelease('8')
    switchTo('8')
    rmSync(join(root, 'releases/7'), { recursive: true })
    const reloaded = command('reload')
    assert.equal(reloaded.status, 0, reloaded.stderr + log.text)
    assert.match(await answer(), new RegExp(`^8 ${join(root, 'releases/8')} `))
    assert.equal(log.find('restart-due'), undefined)
  })

  it('survives the death of a worker afterwards, with its incident', async () => {
    const pid = Number((await answer()).split(' ')[2])
    process.kill(pid, 'SIGKILL')
    await until('another worker to answer', async () => {
      const [name, , other] = (await answer()).split(' ')
      return name === '8' && other !== String(pid)
    })
    await until('the incident', () => /killed-externally|SIGKILL/.test(command('incidents').stdout))
  })

  it('says that a restart is due if the release has another version of Punctual', async () => {
    const file = join(root, 'releases/8', PUNCTUAL, 'package.json')
    const { version, ...rest } = JSON.parse(readFileSync(file, 'utf8')) as { version: string }
    writeFileSync(file, JSON.stringify({ ...rest, version: '99.0.0' }))
    arbiter.kill('SIGHUP')
    const line = await until('the log to say so', () => log.find('restart-due'))
    assert.deepEqual([line.level, line.running, line.installed], ['warn', version, '99.0.0'])
  })
})
