import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { foreignVariables } from './foreign-variables.ts'
import { resolveSettings } from './resolve.ts'

const { settings } = resolveSettings({ flags: { workers: '2' }, env: {}, cwd: '/srv', isTerminal: false })

/** What is said of these variables, in a container with this control group. */
function told(env: Record<string, string>, files: Record<string, string> = {}): readonly string[] {
  const root = mkdtempSync(join(tmpdir(), 'punctual-root-'))
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true })
      writeFileSync(join(root, path), text)
    }
    return foreignVariables(env, settings, { root }).map(({ message }) => message)
  } finally {
    rmSync(root, { recursive: true })
  }
}

const CONTAINER = { 'proc/self/cgroup': '0::/app\n', 'sys/fs/cgroup/app/memory.max': `${512 * 1024 * 1024}\n` }

describe('variables that are not read', () => {
  it('are told with the setting that does what was meant', () => {
    assert.deepEqual(told({ GUNICORN_TIMEOUT: '300' }), [
      'GUNICORN_TIMEOUT=300 is a setting of other servers and does nothing here: a request is limited by --request-deadline, a stalled worker by --stall-kill, a boot by --boot-limit',
    ])
    assert.match(told({ WEB_CONCURRENCY: '4' })[0] ?? '', /write --workers 4$/)
    assert.match(told({ GUNICORN_CMD_ARGS: '--timeout 300' })[0] ?? '', /`punctual config` shows them$/)
    assert.match(told({ GUNICORN_GRACEFUL_TIMEOUT: '30' })[0] ?? '', /--drain-limit/)
    assert.match(told({ GUNICORN_LOGLEVEL: 'debug' })[0] ?? '', /does nothing here/)
    assert.match(told({ PM2_HOME: '/home/app/.pm2' })[0] ?? '', /without PM2/)
  })

  it('are not told where they are none of ours, empty, or meant for the app', () => {
    assert.deepEqual(told({ PATH: '/bin', TIMEOUT: '30', WEB_CONCURRENCY: '', UV_THREADPOOL_SIZE: '8' }), [])
  })
})

describe('variables of Node that work against this server', () => {
  it('are told: a heap above the memory of the container', () => {
    const env = { NODE_OPTIONS: '--enable-source-maps --max-old-space-size=400' }
    assert.match(
      told(env, CONTAINER)[0] ?? '',
      /2 heaps of 400 MiB .* the 512 MiB of this container.*--max-old-space-size=192/,
    )
    assert.deepEqual(told(env), [])
    assert.deepEqual(told({ NODE_OPTIONS: '--max-old-space-size=100' }, CONTAINER), [])
    assert.deepEqual(told({ NODE_OPTIONS: '--enable-source-maps' }, CONTAINER), [])
  })

  it('are told: threads that each worker has for itself', () => {
    assert.match(
      told({ UV_THREADPOOL_SIZE: '512' })[0] ?? '',
      /each of the 2 workers gets 512 threads of its own, 1024 in all/,
    )
  })
})
