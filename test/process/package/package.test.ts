import assert from 'node:assert/strict'
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { Status } from '../../../src/diagnostics/status.ts'
import { request } from '../support/client.ts'
import { freePort } from '../support/free-port.ts'
import { LogLines } from '../support/log-lines.ts'
import { until, within } from '../support/until.ts'

const ROOT = join(import.meta.dirname, '../../..')
const LIMIT = 180_000

/** A Node that is too old for Punctual, if this machine has one. */
const OLDER = ['/usr/bin/node', '/usr/local/bin/node'].find((path) => {
  const { stdout } = spawnSync(path, ['--version'], { encoding: 'utf8' })
  const [major = 99, minor = 0] = (stdout ?? 'v99').slice(1).split('.').map(Number)
  return major < 22 || (major === 22 && minor < 19)
})

let directory = ''
let project = ''
let packed: readonly string[] = []

/** The environment with this Node first in PATH. */
function environment(): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...env } = process.env
  return { ...env, PATH: `${join(process.execPath, '..')}${delimiter}${process.env.PATH ?? ''}` }
}

function run(command: string, args: readonly string[], cwd: string): string {
  return execFileSync(command, args, {
    cwd,
    env: environment(),
    encoding: 'utf8',
    timeout: LIMIT,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

/** Runs `npm pack` in a copy, so that the `dist` of the repository stays unchanged. */
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'punctual-package-'))
  const source = join(directory, 'source')
  project = join(directory, 'project')
  mkdirSync(source)
  mkdirSync(project)
  for (const name of [
    'src',
    'bin',
    'package.json',
    'tsconfig.json',
    'tsconfig.build.json',
    'README.md',
    'LICENSE',
    'scripts',
  ]) {
    if (existsSync(join(ROOT, name))) execFileSync('cp', ['-r', join(ROOT, name), source])
  }
  symlinkSync(join(ROOT, 'node_modules'), join(source, 'node_modules'))
  run('npx', ['--no-install', 'tsc', '-p', 'tsconfig.build.json'], source)
  const [report] = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts'], source)) as [
    { readonly filename: string; readonly files: readonly { readonly path: string }[] },
  ]
  packed = report.files.map(({ path }) => path)
  writeFileSync(join(project, 'package.json'), '{ "name": "project", "private": true, "type": "module" }\n')
  run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', join(source, report.filename)], project)
})

after(() => rmSync(directory, { recursive: true, force: true }))

describe('the package', () => {
  it('contains the command and the compiled code with its types, and nothing else', (context) => {
    const places = new Set(packed.map((path) => path.replace(/\/.*$/, '/')))
    assert.deepEqual(
      [...places].toSorted(),
      ['LICENSE', 'README.md', 'bin/', 'dist/', 'package.json'].filter(
        (place) => places.has(place) || place.endsWith('/'),
      ),
    )
    for (const path of packed) assert.doesNotMatch(path, /\.test\.|fixture|\.map$|(?<!\.d)\.ts$/, path)
    assert.ok(packed.includes('dist/index.d.ts'))
    const installed = readdirSync(join(project, 'node_modules')).filter((name) => !name.startsWith('.'))
    context.diagnostic(`${packed.length} files; installed beside it: ${installed.join(', ')}`)
    assert.ok(!installed.includes('typescript') && !installed.includes('node'))
  })

  it('runs an app with npx in an empty project', async () => {
    writeFileSync(
      join(project, 'server.js'),
      `
import http from 'node:http'
import { allowBlocking } from 'punctual'
http.createServer((request, response) => response.end(allowBlocking('greeting', '1s', () => 'from the package'))).listen(process.env.PORT)
`,
    )
    const port = await freePort()
    const child = spawn(
      'npx',
      [
        '--no-install',
        'punctual',
        'run',
        'server.js',
        '--workers',
        '2',
        '--port',
        String(port),
        '--admin-port',
        '0',
        '--log-format',
        'json',
      ],
      {
        cwd: project,
        env: environment(),
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
      },
    )
    const log = new LogLines()
    log.collect(child.stdout)
    log.collect(child.stderr)
    const ended = once(child, 'close')
    try {
      await until(
        'the app to be ready',
        () => log.find('running') ?? (child.exitCode !== null && assert.fail(log.text)),
      )
      assert.equal((await request(`http://127.0.0.1:${port}`)).body, 'from the package')
      run('npx', ['--no-install', 'punctual', 'reload'], project)
      const status = JSON.parse(run('npx', ['--no-install', 'punctual', 'status', '--json'], project)) as Status
      const ready = status.workers.filter(({ state }) => state === 'ready').length
      assert.deepEqual([status.phase, status.ready, ready, status.generation], ['running', true, 2, 2])
      // It throws unless the exit code is 0.
      run('npx', ['--no-install', 'punctual', 'stop'], project)
      assert.deepEqual(await within('npx to end', ended), [0, null])
    } finally {
      try {
        process.kill(-(child.pid ?? 0), 'SIGKILL')
      } catch {
        // All processes of its group have exited.
      }
    }
  })

  it('has types for what it exports', () => {
    writeFileSync(
      join(project, 'use.ts'),
      `import { allowBlocking } from 'punctual'\nexport const length: number = allowBlocking('job', '2s', () => 'text').length\n`,
    )
    writeFileSync(
      join(project, 'misuse.ts'),
      `import { allowBlocking } from 'punctual'\nexport const length: string = allowBlocking('job', '2s', () => 5)\n`,
    )
    const tsc = join(ROOT, 'node_modules/.bin/tsc')
    const flags = [
      '--noEmit',
      '--strict',
      '--module',
      'nodenext',
      '--moduleResolution',
      'nodenext',
      '--target',
      'es2023',
      '--typeRoots',
      join(ROOT, 'node_modules/@types'),
      '--types',
      'node',
    ]
    run(tsc, [...flags, 'use.ts'], project)
    const misuse = spawnSync(tsc, [...flags, 'misuse.ts'], { cwd: project, env: environment(), encoding: 'utf8' })
    assert.match(misuse.stdout, /^misuse\.ts\(\d+,\d+\): error TS2322: /m)
  })

  it('refuses an older Node in one line, with exit code 2', {
    skip: OLDER === undefined && 'no older Node on this machine',
  }, () => {
    const bin = join(project, 'node_modules/punctual/bin/punctual.js')
    const { status, stdout, stderr } = spawnSync(OLDER ?? '', [bin, 'run', 'server.js'], {
      cwd: project,
      encoding: 'utf8',
      timeout: 30_000,
    })
    assert.deepEqual([status, stdout], [2, ''])
    assert.match(stderr, /^punctual: .*\b22\.19\b.* \(PUNCTUAL_PLATFORM_UNSUPPORTED\)\n$/)
  })

  it('prints the version of its package.json', () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { readonly version: string }
    assert.equal(run('npx', ['--no-install', 'punctual', '--version'], project), `${version}\n`)
  })
})
