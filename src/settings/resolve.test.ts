import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { UNBOUNDED } from '../wait/duration.ts'
import { flagOf, recordOf, SETTING_NAMES, variableOf } from './records.ts'
import { type ResolvedSettings, type ResolveOptions, resolveSettings } from './resolve.ts'
import { SettingsError } from './settings-error.ts'

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
  it('every default applies and is read back from its own text', () => {
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

  it('the result cannot be changed', () => {
    const { settings, origins } = resolve({ flags: { import: ['a'] } })
    assert.ok(Object.isFrozen(settings))
    assert.ok(Object.isFrozen(settings.import))
    assert.ok(Object.isFrozen(origins))
    assert.ok(Object.isFrozen(origins.workers))
  })

  it('a flag beats the environment, which beats the file, which beats the default', () => {
    const config = { keepAlive: '1s', bootLimit: '1s', port: 1 }
    const env = { PUNCTUAL_KEEP_ALIVE: '2s', PUNCTUAL_BOOT_LIMIT: '2s' }
    const { settings, origins } = resolve({ config, env, flags: { keepAlive: '3s' } })
    assert.equal(settings.keepAlive, 3_000)
    assert.deepEqual(origins.keepAlive, { origin: 'flag', source: '--keep-alive', written: '3s' })
    assert.equal(settings.bootLimit, 2_000)
    assert.deepEqual(origins.bootLimit, { origin: 'environment', source: 'PUNCTUAL_BOOT_LIMIT', written: '2s' })
    assert.equal(settings.port, 1)
    assert.deepEqual(origins.port, { origin: 'file', source: 'punctual.config.ts', written: '1' })
    assert.equal(origins.host.origin, 'default')
  })

  it('PORT and HOST of a platform apply below PUNCTUAL_PORT and PUNCTUAL_HOST', () => {
    const platform = resolve({ env: { PORT: '8080', HOST: '127.0.0.1' } })
    assert.equal(platform.settings.port, 8080)
    assert.equal(platform.settings.host, '127.0.0.1')
    assert.deepEqual(platform.origins.port, { origin: 'environment', source: 'PORT', written: '8080' })
    const own = resolve({ env: { PORT: 'not a port', PUNCTUAL_PORT: '81' } })
    assert.equal(own.settings.port, 81)
    assert.equal(own.origins.port.source, 'PUNCTUAL_PORT')
    assert.equal(resolve({ env: { PORT: 'not a port' }, flags: { port: '82' } }).settings.port, 82)
    assert.match(refusalOf({ env: { PORT: 'not a port' } }).message, /^PORT: "not a port" is not a whole number/)
  })

  it('auto becomes what this place gives', () => {
    assert.equal(resolve().settings.workers, 6)
    assert.equal(resolve({ config: { workers: 'auto' }, parallelism: 3 }).settings.workers, 3)
    assert.equal(resolve({ isTerminal: true }).settings.logFormat, 'text')
    assert.equal(resolve({ isTerminal: false }).settings.logFormat, 'json')
  })

  it('relative paths start at the working directory, names of packages stay', () => {
    const { settings } = resolve({
      flags: { import: ['./otel.ts', 'dd-trace/init', '/opt/x,y.js'], stateDir: 'state' },
    })
    assert.deepEqual(settings.import, ['/app/otel.ts', 'dd-trace/init', '/opt/x,y.js'])
    assert.equal(settings.stateDir, '/app/state')
    assert.deepEqual(resolve({ env: { PUNCTUAL_IMPORT: 'a, ./b.ts' } }).settings.import, ['a', '/app/b.ts'])
  })

  it('all faults of all sources are told at once', () => {
    const { faults, message, code, exitCode } = refusalOf({
      flags: { workers: '0', host: 'http://x' },
      env: { PUNCTUAL_PORT: '70000', PUNCTUAL_WORKRES: '2' },
      config: { requestDeadline: 5, stallcut: '3s' },
    })
    assert.equal(code, 'PUNCTUAL_SETTINGS_INVALID')
    assert.equal(exitCode, 2)
    assert.deepEqual(
      faults.map(({ source }) => source).sort(),
      [
        '--host',
        '--workers',
        'PUNCTUAL_PORT',
        'PUNCTUAL_WORKRES',
        'punctual.config.ts: requestDeadline',
        'punctual.config.ts: stallcut',
      ].sort(),
    )
    assert.match(message, /^6 faults in the settings:\n/)
    for (const { source } of faults) assert.ok(message.includes(`\n  ${source}: `), source)
  })

  it('an unknown name is a fault that suggests the nearest one', () => {
    assert.match(refusalOf({ env: { PUNCTUAL_TIMEOUT_KIL: '1s' } }).message, /^PUNCTUAL_TIMEOUT_KIL: there is no such/)
    assert.match(refusalOf({ env: { PUNCTUAL_STAL_CUT: '1s' } }).message, /did you mean PUNCTUAL_STALL_CUT\?/)
    assert.match(
      refusalOf({ config: { wrokers: 1 } }).message,
      /punctual\.config\.ts: wrokers: .*did you mean workers\?/,
    )
    assert.match(refusalOf({ flags: { stallReprot: '1s' } }).message, /--stall-reprot: .*did you mean --stall-report\?/)
  })

  it('what an arbiter tells its workers is no setting', () => {
    assert.equal(resolve({ env: { PUNCTUAL__WORKER: 'x' } }).settings.workers, 6)
  })

  it('a value that a stronger source covers must apply all the same', () => {
    assert.match(refusalOf({ env: { PUNCTUAL_WORKERS: 'many' }, flags: { workers: '2' } }).message, /^PUNCTUAL_WORKERS/)
  })

  const refusedValues: readonly (readonly [string, unknown, RegExp])[] = [
    ['workers', '0', /too small.*from 1, or auto/],
    ['workers', '-1', /too small/],
    ['workers', 'NaN', /not a whole number/],
    ['workers', '2.5', /not a whole number/],
    ['workers', '', /is empty/],
    ['workers', null, /type null/],
    ['workers', true, /type boolean/],
    ['workers', ['2'], /is a list/],
    ['requestDeadline', '30', /has no unit; write 30s or 30ms/],
    ['requestDeadline', 30, /30 has no unit/],
    ['requestDeadline', '0', /write unbounded/],
    ['requestDeadline', '-1', /write unbounded/],
    ['requestDeadline', '0s', /too short/],
    ['requestDeadline', 'Infinity', /write unbounded/],
    ['requestDeadline', 'none', /write unbounded/],
    ['requestDeadline', 'NaN', /not a duration/],
    ['requestDeadline', '-5s', /not a duration/],
    ['requestDeadline', '5 s', /not a duration/],
    ['requestDeadline', ' ', /is empty/],
    ['maxLifetime', '400d', /too long; the most is 24d, or unbounded/],
    ['keepAlive', 'unbounded', /needs a limit/],
    ['maxRequests', Number.POSITIVE_INFINITY, /Infinity is not accepted.*write unbounded/],
    ['maxRequests', '0', /write unbounded/],
    ['maxMemory', '512MB', /write 512MiB/],
    ['maxMemory', '512', /has no unit; write 512MiB or 512KiB/],
    ['maxMemory', '1MiB', /too small; the least is 16MiB/],
    ['maxMemory', 'lots', /not a size/],
    ['maxMemory', '999999999TiB', /too large/],
    ['port', '65536', /too large/],
    ['port', '80.5', /not a whole number/],
    ['host', '127.0.0.1:3000', /has a port/],
    ['host', 'http://localhost', /is a URL/],
    ['host', '300.1.1.1', /not a host/],
    ['host', 'a b', /not a host/],
    ['logLevel', 'eror', /did you mean error\?.*trace, debug/],
    ['recycleJitter', '0.1', /write 10%/],
    ['recycleJitter', '60%', /the most is 50%/],
    ['import', [1], /type array.*array of texts/],
    ['import', ['a', ''], /empty entry/],
    ['priorityRoutes', ['health'], /does not begin with \/; write \/health/],
    ['priorityRoutes', ['/a?b=c'], /more than a path/],
    ['priorityRoutes', '/a,,/b', /empty entry/],
    ['stateDir', 'a\0b', /NUL/],
  ]
  for (const [name, value, expected] of refusedValues) {
    it(`${name} ${JSON.stringify(value) ?? String(value)} is refused with a reason`, () => {
      const { faults } = refusalOf({ config: { [name]: value } })
      assert.equal(faults.length, 1)
      assert.equal(faults[0]?.setting, name)
      assert.match(`${faults[0]?.what}; ${faults[0]?.advice}`, expected)
    })
  }

  it('what is accepted is read in every unit', () => {
    const config = {
      stallReport: '250ms',
      maxLifetime: '2d',
      maxMemory: '1.5GiB',
      incidentSize: '64KiB',
      maxRequests: 'unbounded',
      recycleJitter: '12.5%',
      upgradeGrace: '0s',
      host: '[::1]',
      crashLimit: 3,
    }
    const { settings } = resolve({ config })
    assert.equal(settings.stallReport, 250)
    assert.equal(settings.maxLifetime, 172_800_000)
    assert.equal(settings.maxMemory, 1_610_612_736)
    assert.equal(settings.incidentSize, 65_536)
    assert.equal(settings.maxRequests, UNBOUNDED)
    assert.equal(settings.recycleJitter, 0.125)
    assert.equal(settings.upgradeGrace, 0)
    assert.equal(settings.host, '::1')
    assert.equal(settings.crashLimit, 3)
  })
})

describe('names', () => {
  it('a setting has one name for each place it is given', () => {
    assert.equal(flagOf('requestDeadline'), '--request-deadline')
    assert.equal(variableOf('requestDeadline'), 'PUNCTUAL_REQUEST_DEADLINE')
    assert.equal(new Set(SETTING_NAMES.map(flagOf)).size, SETTING_NAMES.length)
    assert.equal(new Set(SETTING_NAMES.map(variableOf)).size, SETTING_NAMES.length)
  })
})
