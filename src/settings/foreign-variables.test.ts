import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { type ForeignVariable, foreignVariables } from './foreign-variables.ts'
import { resolveSettings } from './resolve.ts'
import { flagOf } from './settings.ts'

const { settings } = resolveSettings({ flags: { workers: '2' }, env: {}, cwd: '/srv', isTerminal: false })

/** What is found among these variables, in a container with this control group. */
function found(env: Record<string, string>, files: Record<string, string> = {}): readonly ForeignVariable[] {
  const root = mkdtempSync(join(tmpdir(), 'punctual-root-'))
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      writeFileSync(join(root, path), text)
    }
    return foreignVariables(env, settings, { root })
  } finally {
    rmSync(root, { recursive: true })
  }
}

const CONTAINER = { 'proc/self/cgroup': '0::/app\n', 'sys/fs/cgroup/app/memory.max': `${512 * 1024 * 1024}\n` }

describe('variables of other servers', () => {
  it('are reported with the settings that have the intended effect', () => {
    const expected: readonly (readonly [string, string, readonly string[]])[] = [
      ['GUNICORN_TIMEOUT', '300', ['requestTimeout', 'stallKillAfter', 'bootTimeout']],
      ['WEB_CONCURRENCY', '4', ['workers']],
      ['GUNICORN_CMD_ARGS', '--timeout 300', []],
      ['GUNICORN_GRACEFUL_TIMEOUT', '30', ['drainTimeout', 'stopTimeout']],
      ['GUNICORN_LOGLEVEL', 'debug', []],
      ['PM2_HOME', '/home/app/.pm2', []],
    ]
    for (const [variable, value, settings] of expected) {
      const [foreign] = found({ [variable]: value })
      assert.deepEqual([foreign?.variable, foreign?.settings], [variable, settings])
      // The message names variable, flags, and a value that is one word.
      for (const word of [
        value.includes(' ') ? `${variable} is` : `${variable}=${value}`,
        ...(foreign?.settings ?? []).map(flagOf),
      ]) {
        assert.ok(foreign?.message.includes(word), foreign?.message)
      }
    }
  })

  it('are not reported if they are unrelated, empty, or meant for the app', () => {
    assert.deepEqual(found({ PATH: '/bin', TIMEOUT: '30', WEB_CONCURRENCY: '', UV_THREADPOOL_SIZE: '8' }), [])
  })
})

describe('variables of Node that conflict with Punctual', () => {
  it('include a heap larger than the container', () => {
    const env = { NODE_OPTIONS: '--enable-source-maps --max-old-space-size=400' }
    const [heap] = found(env, CONTAINER)
    assert.equal(heap?.variable, 'NODE_OPTIONS')
    for (const figure of ['400 MiB', '512 MiB', '--max-old-space-size=192']) assert.ok(heap.message.includes(figure))
    assert.deepEqual(found(env), [])
    assert.deepEqual(found({ NODE_OPTIONS: '--max-old-space-size=100' }, CONTAINER), [])
    assert.deepEqual(found({ NODE_OPTIONS: '--enable-source-maps' }, CONTAINER), [])
  })

  it('include a thread pool that every worker starts', () => {
    const [threads] = found({ UV_THREADPOOL_SIZE: '512' })
    assert.equal(threads?.variable, 'UV_THREADPOOL_SIZE')
    assert.match(threads.message, /\b512\b.*\b1024\b/)
  })
})
