import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { defineConfig } from './define-config.ts'
import { resolveSettings } from './settings/resolve.ts'

describe('defineConfig', () => {
  it('accepts the values that the settings accept', () => {
    const config = defineConfig({
      workers: 'auto',
      port: 0,
      requestTimeout: '20s',
      maxMemory: '512MiB',
      maxRequests: 'unbounded',
      recycleJitter: '5%',
      logFormat: 'auto',
      import: ['./instrumentation.ts'],
      stallAction: 'interrupt',
    })
    const file = { name: 'punctual.config.ts', values: { ...config } }
    const { settings } = resolveSettings({ flags: {}, env: {}, file, cwd: '/app', isTerminal: false, parallelism: 2 })
    assert.equal(settings.requestTimeout, 20_000)
  })

  it('a number without its unit and an unknown name are type errors', () => {
    // @ts-expect-error a duration has a unit
    defineConfig({ requestTimeout: 20 })
    // @ts-expect-error there is no such setting
    defineConfig({ timeout: '20s' })
    // @ts-expect-error not one of the words
    defineConfig({ stallAction: 'restart' })
  })
})
