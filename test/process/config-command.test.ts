import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import type { SettingsError } from '../../src/settings/settings-error.ts'

const BIN = join(import.meta.dirname, '../../bin/punctual.js')
const TIMEOUT = 60_000

let cwd: string

beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'punctual-config-command-'))
})

afterEach(() => {
  rmSync(cwd, { recursive: true })
})

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

function punctual(args: readonly string[], env: Record<string, string> = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    const options = { cwd, timeout: TIMEOUT, env: { PATH: process.env.PATH, ...env } }
    execFile(process.execPath, [BIN, ...args], options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout, stderr })
    })
  })
}

describe('punctual config', () => {
  it('prints value and origin from all four sources', async () => {
    writeFileSync(join(cwd, 'punctual.config.mjs'), "export default { keepAlive: '2s', port: 4000 }")
    const { code, stdout, stderr } = await punctual(
      ['config', '--workers', '3', '--import', './a.ts', '--import', 'b'],
      {
        PUNCTUAL_PORT: '5000',
      },
    )
    assert.equal(stderr, '')
    assert.equal(code, 0)
    assert.match(stdout, /^ {2}workers +3 +flag: --workers$/m)
    assert.match(stdout, /^ {2}port +5000 +environment: PUNCTUAL_PORT$/m)
    assert.match(stdout, /^ {2}keepAlive +2s +file: punctual\.config\.mjs$/m)
    assert.match(stdout, /^ {2}bootTimeout +1m +default$/m)
    assert.match(stdout, /^ {2}import +.*\/a\.ts,b +flag: --import$/m)
  })

  it('--json prints data', async () => {
    const { stdout } = await punctual(['config', '--json', '--max-memory', '512MiB'])
    const report = JSON.parse(stdout)
    assert.deepEqual(report.settings.maxMemory, { value: '512MiB', origin: 'flag', source: '--max-memory' })
    assert.equal(report.configFile, null)
    const nested = report.rules.find(({ rule }: { rule: string }) => rule === 'stallInterruptAfter < stallKillAfter')
    assert.deepEqual([nested.applies, nested.holds], [true, true])
  })

  it('all faults are printed at once, without a stack, with exit code 2', async () => {
    const { code, stdout, stderr } = await punctual(['config', '--workers', '0', '--request-timeout', 'NaN'], {
      PUNCTUAL_WROKERS: '3',
    })
    assert.equal(code, 2)
    assert.equal(stdout, '')
    assert.match(stderr, /^punctual: /)
    assert.match(stderr, /\(PUNCTUAL_SETTINGS_INVALID\)\n$/)
    assert.equal(stderr.trim().split('\n').length, 4)
    const json = await punctual(['config', '--json', '--workers', '0', '--request-timeout', 'NaN'], {
      PUNCTUAL_WROKERS: '3',
    })
    assert.deepEqual([json.code, json.stdout], [2, ''])
    const { details } = JSON.parse(json.stderr) as { details: SettingsError['details'] }
    assert.deepEqual(
      details.faults.map(({ source, kind, suggestion }) => [source, kind, suggestion ?? null]).toSorted(),
      [
        ['--request-timeout', 'invalid', null],
        ['--workers', 'too-small', null],
        ['PUNCTUAL_WROKERS', 'unknown-name', 'PUNCTUAL_WORKERS'],
      ],
    )
  })

  it('a broken config file is reported in one line with its name and exit code 2', async () => {
    writeFileSync(join(cwd, 'punctual.config.ts'), 'export default {')
    const { code, stderr } = await punctual(['config'])
    assert.equal(code, 2)
    assert.match(stderr, /^punctual: punctual\.config\.ts: .*SyntaxError.* \(PUNCTUAL_SETTINGS_INVALID\)\n$/)
  })

  it('a config file that leaves something open does not keep the process', async () => {
    writeFileSync(join(cwd, 'punctual.config.mjs'), 'setInterval(() => {}, 1e6)\nexport default {}')
    assert.equal((await punctual(['config'])).code, 0)
    writeFileSync(join(cwd, 'punctual.config.mjs'), 'setInterval(() => {}, 1e6)\nexport default 5')
    assert.equal((await punctual(['config'])).code, 2)
  })

  it('a reader that exits early is no error', async () => {
    const child = spawn(process.execPath, [BIN, 'config'], { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.destroy()
    let stderr = ''
    child.stderr.on('data', (text) => {
      stderr += text
    })
    await once(child, 'close', { signal: AbortSignal.timeout(TIMEOUT) })
    assert.equal(stderr, '')
  })
})

describe('punctual', () => {
  it('an unknown command and an unknown flag get the nearest one suggested, with exit code 2', async () => {
    const command = await punctual(['confg'])
    assert.equal(command.code, 2)
    assert.match(command.stderr, /^punctual: .*\bconfig\b.* \(PUNCTUAL_USAGE\)\n$/)
    const flag = await punctual(['config', '--stall-interupt-after', '3s'])
    assert.equal(flag.code, 2)
    assert.match(flag.stderr, /^punctual: .*--stall-interrupt-after\b.* \(PUNCTUAL_USAGE\)\n$/)
  })

  it('a flag without its value is refused with exit code 2', async () => {
    const { code, stderr } = await punctual(['config', '--workers'])
    assert.equal(code, 2)
    assert.match(stderr, /^punctual: .*--workers .* \(PUNCTUAL_USAGE\)\n$/)
  })

  it('help and version go to standard output with exit code 0; no command is wrong usage', async () => {
    const help = await punctual(['--help'])
    assert.equal(help.code, 0)
    assert.match(help.stdout, /Commands:\n/)
    assert.match((await punctual(['--version'])).stdout, /^\d+\.\d+\.\d+\n$/)
    const none = await punctual([])
    assert.equal(none.code, 2)
    assert.match(none.stderr, /^Usage: punctual/)
  })

  it('every setting is in the help, with default and variable', async () => {
    const { stdout } = await punctual(['help', 'config'])
    const words = stdout.replaceAll(/\s+/g, ' ')
    assert.match(words, /--request-timeout <duration> .*\[30s; PUNCTUAL_REQUEST_TIMEOUT\]/)
    assert.match(stdout, /^Stalls:$/m)
  })
})
