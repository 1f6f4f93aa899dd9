import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { UNBOUNDED } from '../resilience/duration.ts'
import { recordOf, SETTING_NAMES } from './records.ts'
import { type ResolveOptions, resolveSettings } from './resolve.ts'
import { flagOf, type ResolvedSettings, variableOf } from './settings.ts'
import { type SettingFault, SettingsError } from './settings-error.ts'

type Given = Partial<ResolveOptions> & { config?: Record<string, unknown> }

function resolve({ config, ...given }: Given = {}): ResolvedSettings {
  const file = config === undefined ? undefined : { name: 'punctual.config.ts', values: config }
  return resolveSettings({ flags: {}, env: {}, file, cwd: '/app', isTerminal: false, parallelism: 6, ...given })
}

function refusalOf(given: Given): SettingsError {
  try {
    resolve(given)
  } catch (error) {
    assert.ok(error instanceof SettingsError, String(error))
    return error
  }
  assert.fail('accepted')
}

describe('resolveSettings', () => {
  it('every default is valid and parses from its own text', () => {
    const { settings, origins } = resolve()
    for (const name of SETTING_NAMES) {
      const { kind } = recordOf(name)
      const again = kind.parse(kind.list ? (settings[name] as readonly string[]) : kind.format(settings[name]), {
        cwd: '/elsewhere',
        isTerminal: true,
        parallelism: 1,
      })
      assert.deepEqual(again, { ok: true, value: settings[name] }, name)
      assert.equal(origins[name].origin, 'default')
    }
  })

  it('the result is frozen', () => {
    const { settings, origins } = resolve({ flags: { import: ['a'] } })
    assert.ok(Object.isFrozen(settings))
    assert.ok(Object.isFrozen(settings.import))
    assert.ok(Object.isFrozen(origins))
    assert.ok(Object.isFrozen(origins.workers))
  })

  it('a flag overrides the environment, which overrides the file, which overrides the default', () => {
    const config = { keepAlive: '1s', bootTimeout: '1s', port: 1 }
    const env = { PUNCTUAL_KEEP_ALIVE: '2s', PUNCTUAL_BOOT_TIMEOUT: '2s' }
    const { settings, origins } = resolve({ config, env, flags: { keepAlive: '3s' } })
    assert.equal(settings.keepAlive, 3_000)
    assert.deepEqual(origins.keepAlive, { origin: 'flag', source: '--keep-alive', written: '3s' })
    assert.equal(settings.bootTimeout, 2_000)
    assert.deepEqual(origins.bootTimeout, { origin: 'environment', source: 'PUNCTUAL_BOOT_TIMEOUT', written: '2s' })
    assert.equal(settings.port, 1)
    assert.deepEqual(origins.port, { origin: 'file', source: 'punctual.config.ts', written: '1' })
    assert.equal(origins.host.origin, 'default')
  })

  it('PUNCTUAL_PORT and PUNCTUAL_HOST override PORT and HOST of a platform', () => {
    const platform = resolve({ env: { PORT: '8080', HOST: '127.0.0.1' } })
    assert.equal(platform.settings.port, 8080)
    assert.equal(platform.settings.host, '127.0.0.1')
    assert.deepEqual(platform.origins.port, { origin: 'environment', source: 'PORT', written: '8080' })
    const own = resolve({ env: { PORT: 'not a port', PUNCTUAL_PORT: '81' } })
    assert.equal(own.settings.port, 81)
    assert.equal(own.origins.port.source, 'PUNCTUAL_PORT')
    assert.equal(resolve({ env: { PORT: 'not a port' }, flags: { port: '82' } }).settings.port, 82)
    const [fault] = refusalOf({ env: { PORT: 'not a port' } }).details.faults
    assert.deepEqual([fault?.setting, fault?.source, fault?.kind], ['port', 'PORT', 'invalid'])
  })

  it('auto is resolved for this machine and terminal', () => {
    assert.equal(resolve().settings.workers, 6)
    assert.equal(resolve({ config: { workers: 'auto' }, parallelism: 3 }).settings.workers, 3)
    assert.equal(resolve({ isTerminal: true }).settings.logFormat, 'text')
    assert.equal(resolve({ isTerminal: false }).settings.logFormat, 'json')
  })

  it('relative paths are resolved against the working directory, names of packages stay', () => {
    const { settings } = resolve({
      flags: { import: ['./otel.ts', 'dd-trace/init', '/opt/x,y.js'], stateDir: 'state' },
    })
    assert.deepEqual(settings.import, ['/app/otel.ts', 'dd-trace/init', '/opt/x,y.js'])
    assert.equal(settings.stateDir, '/app/state')
    assert.deepEqual(resolve({ env: { PUNCTUAL_IMPORT: 'a, ./b.ts' } }).settings.import, ['a', '/app/b.ts'])
  })

  it('all faults of all sources are reported at once', () => {
    const { details, message, code, exitCode } = refusalOf({
      flags: { workers: '0', host: 'http://x' },
      env: { PUNCTUAL_PORT: '70000', PUNCTUAL_WORKRES: '2' },
      config: { requestTimeout: 5, stallcut: '3s' },
    })
    assert.equal(code, 'PUNCTUAL_SETTINGS_INVALID')
    assert.equal(exitCode, 2)
    assert.deepEqual(
      details.faults.map(({ source }) => source).sort(),
      [
        '--host',
        '--workers',
        'PUNCTUAL_PORT',
        'PUNCTUAL_WORKRES',
        'punctual.config.ts: requestTimeout',
        'punctual.config.ts: stallcut',
      ].sort(),
    )
    for (const { source } of details.faults) assert.ok(message.includes(`\n  ${source}: `), source)
  })

  it('an unknown name is refused with the nearest one', () => {
    const expected: readonly (readonly [Given, string, string | undefined])[] = [
      [
        { env: { PUNCTUAL_STALL_INTERRUPT_AFTR: '1s' } },
        'PUNCTUAL_STALL_INTERRUPT_AFTR',
        'PUNCTUAL_STALL_INTERRUPT_AFTER',
      ],
      [{ config: { wrokers: 1 } }, 'punctual.config.ts: wrokers', 'workers'],
      [{ config: { gunicorn: 1 } }, 'punctual.config.ts: gunicorn', undefined],
      [{ flags: { stallReprotAfter: '1s' } }, '--stall-reprot-after', '--stall-report-after'],
    ]
    for (const [given, source, suggestion] of expected) {
      const { faults } = refusalOf(given).details
      assert.deepEqual(
        faults.map((fault) => [fault.kind, fault.source, fault.suggestion]),
        [['unknown-name', source, suggestion]],
      )
    }
  })

  it('variables that the arbiter passes to its workers are not settings', () => {
    assert.equal(resolve({ env: { PUNCTUAL__WORKER: 'x' } }).settings.workers, 6)
  })

  it('a value that a stronger source overrides must be valid too', () => {
    const { faults } = refusalOf({ env: { PUNCTUAL_WORKERS: 'many' }, flags: { workers: '2' } }).details
    assert.deepEqual(
      faults.map(({ source }) => source),
      ['PUNCTUAL_WORKERS'],
    )
  })

  const refusedValues: readonly (readonly [string, unknown, Partial<SettingFault>])[] = [
    ['workers', '0', { kind: 'too-small', bound: '1' }],
    ['workers', '-1', { kind: 'too-small', bound: '1' }],
    ['workers', 'NaN', { kind: 'invalid' }],
    ['workers', '2.5', { kind: 'invalid' }],
    ['workers', '', { kind: 'empty' }],
    ['workers', null, { kind: 'wrong-type' }],
    ['workers', true, { kind: 'wrong-type' }],
    ['workers', ['2'], { kind: 'wrong-type' }],
    ['requestTimeout', '30', { kind: 'no-unit', suggestion: '30s' }],
    ['requestTimeout', 30, { kind: 'no-unit', suggestion: '30s' }],
    ['requestTimeout', '0', { kind: 'unbounded-misspelled', suggestion: 'unbounded' }],
    ['requestTimeout', '-1', { kind: 'unbounded-misspelled', suggestion: 'unbounded' }],
    ['requestTimeout', '0s', { kind: 'too-small', bound: '1ms' }],
    ['requestTimeout', 'Infinity', { kind: 'unbounded-misspelled', suggestion: 'unbounded' }],
    ['requestTimeout', 'none', { kind: 'unbounded-misspelled', suggestion: 'unbounded' }],
    ['requestTimeout', 'NaN', { kind: 'invalid' }],
    ['requestTimeout', '-5s', { kind: 'invalid' }],
    ['requestTimeout', '5 s', { kind: 'invalid' }],
    ['requestTimeout', ' ', { kind: 'empty' }],
    ['maxLifetime', '400d', { kind: 'too-large', bound: '24d' }],
    ['keepAlive', 'unbounded', { kind: 'not-unbounded' }],
    ['maxRequests', Number.POSITIVE_INFINITY, { kind: 'unbounded-misspelled', suggestion: 'unbounded' }],
    ['maxRequests', '0', { kind: 'unbounded-misspelled', suggestion: 'unbounded' }],
    ['maxMemory', '512MB', { kind: 'wrong-unit', suggestion: '512MiB' }],
    ['maxMemory', '512', { kind: 'no-unit', suggestion: '512MiB' }],
    ['maxMemory', '1MiB', { kind: 'too-small', bound: '16MiB' }],
    ['maxMemory', 'lots', { kind: 'invalid' }],
    ['maxMemory', '999999999TiB', { kind: 'too-large' }],
    ['port', '65536', { kind: 'too-large', bound: '65535' }],
    ['port', '80.5', { kind: 'invalid' }],
    ['host', '127.0.0.1:3000', { kind: 'invalid' }],
    ['host', 'http://localhost', { kind: 'invalid' }],
    ['host', '300.1.1.1', { kind: 'invalid' }],
    ['host', 'a b', { kind: 'invalid' }],
    ['logLevel', 'eror', { kind: 'invalid', suggestion: 'error' }],
    ['recycleJitter', '0.1', { kind: 'no-unit', suggestion: '10%' }],
    ['minRequestRate', '0', { kind: 'invalid', suggestion: 'off' }],
    ['minResponseRate', '1.5', { kind: 'invalid' }],
    ['recycleJitter', '60%', { kind: 'too-large', bound: '50%' }],
    ['import', [1], { kind: 'wrong-type' }],
    ['import', ['a', ''], { kind: 'empty' }],
    ['priorityRoutes', ['health'], { kind: 'invalid', suggestion: '/health' }],
    ['priorityRoutes', ['/a?b=c'], { kind: 'invalid' }],
    ['priorityRoutes', '/a,,/b', { kind: 'empty' }],
    ['stateDir', 'a\0b', { kind: 'invalid' }],
  ]
  for (const [name, value, expected] of refusedValues) {
    it(`${name} ${JSON.stringify(value) ?? String(value)} is refused with a reason`, () => {
      const { faults } = refusalOf({ config: { [name]: value } }).details
      assert.equal(faults.length, 1)
      const [fault] = faults
      const { kind, suggestion, bound } = { suggestion: undefined, bound: undefined, ...expected }
      assert.deepEqual(
        [fault?.setting, fault?.given, fault?.kind, fault?.suggestion, fault?.bound],
        [name, value, kind, suggestion, bound],
      )
    })
  }

  it('values are parsed in every unit', () => {
    const config = {
      stallReportAfter: '250ms',
      maxLifetime: '2d',
      maxMemory: '1.5GiB',
      maxIncidentSize: '64KiB',
      maxRequests: 'unbounded',
      recycleJitter: '12.5%',
      minRequestRate: 'off',
      minResponseRate: '1000',
      upgradeGrace: '0s',
      host: '[::1]',
      crashLimit: 3,
    }
    const { settings } = resolve({ config })
    assert.equal(settings.stallReportAfter, 250)
    assert.equal(settings.maxLifetime, 172_800_000)
    assert.equal(settings.maxMemory, 1_610_612_736)
    assert.equal(settings.maxIncidentSize, 65_536)
    assert.equal(settings.maxRequests, UNBOUNDED)
    assert.equal(settings.recycleJitter, 0.125)
    assert.deepEqual([settings.minRequestRate, settings.minResponseRate], [0, 1_000])
    assert.equal(settings.upgradeGrace, 0)
    assert.equal(settings.host, '::1')
    assert.equal(settings.crashLimit, 3)
  })
})

describe('names', () => {
  it('a setting has one name per source', () => {
    assert.equal(flagOf('requestTimeout'), '--request-timeout')
    assert.equal(variableOf('requestTimeout'), 'PUNCTUAL_REQUEST_TIMEOUT')
    assert.equal(new Set(SETTING_NAMES.map(flagOf)).size, SETTING_NAMES.length)
    assert.equal(new Set(SETTING_NAMES.map(variableOf)).size, SETTING_NAMES.length)
  })
})
