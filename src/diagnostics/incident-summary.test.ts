import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { KernelEvidence, StackFrame, StallEvidence } from './incident.ts'
import { formatSummary, type IncidentFacts } from './incident-summary.ts'

const CWD = '/app'

const frame = (name: string, file: string, line: number): StackFrame => ({ function: name, file, line, column: 1 })

const kernel = (given: Partial<KernelEvidence>): KernelEvidence => ({
  doing: 'waiting',
  cpuShare: 0,
  wchan: null,
  syscall: null,
  target: null,
  children: [],
  ...given,
})

const SPINNING = kernel({ doing: 'spinning', cpuShare: 1 })
const LOGIN = { method: 'POST', target: '/login', ageMs: 5_003 }
const STACK = [
  frame('pbkdf2Sync', 'node:internal/crypto/pbkdf2', 62),
  frame('hash', '/app/node_modules/hasher/index.js', 7),
  frame('verify', '/app/src/login.ts', 42),
  frame('handler', '/app/src/routes.ts', 3),
]

const evidence = (given: Partial<StallEvidence> = {}): StallEvidence => ({
  stage: 'report',
  stalledForMs: 1_000,
  stack: STACK,
  request: LOGIN,
  inFlight: [LOGIN],
  inFlightCount: 15,
  kernel: SPINNING,
  loopLag: [],
  memory: { rss: 80e6, heapUsed: 20e6, heapLimit: 4_000e6 },
  allowBlocking: null,
  ...given,
})

const incident = (given: Partial<IncidentFacts> = {}): IncidentFacts => ({
  id: '20261122T004331123-w2-stall',
  kind: 'stall',
  at: '2026-11-22T00:43:31.123Z',
  worker: { id: 2, pid: 7, generation: 1 },
  outcome: 'ongoing',
  evidence: [evidence()],
  ...given,
})

const summary = (given: Partial<IncidentFacts> = {}): string => formatSummary(incident(given), CWD)

describe('a stall', () => {
  test('in progress says where, for which request, what the thread does and how many requests wait', () => {
    assert.equal(
      summary(),
      'worker 2 (pid 7) has been stalled for 1.0 s in verify (src/login.ts:42) for POST /login, spinning; 14 other requests in flight',
    )
  })

  test('that was interrupted says what was served and who took over', () => {
    const text = summary({
      outcome: 'interrupted',
      stalledForMs: 5_010,
      evidence: [evidence(), evidence({ stage: 'interrupt', stalledForMs: 5_000 })],
      culprit: '503',
      others: { inFlight: 14, served: 14 },
      replacement: { worker: 5, afterMs: 212 },
    })
    assert.equal(
      text,
      'worker 2 (pid 7) stalled for 5.0 s in verify (src/login.ts:42) for POST /login, spinning; interrupted and answered 503; 14 other requests served; worker 5 took over after 212 ms',
    )
  })

  test('that ended by itself says so', () => {
    assert.match(
      summary({ outcome: 'ended', stalledForMs: 2_345 }),
      /^worker 2 \(pid 7\) stalled for 2\.3 s in verify .*; it ended by itself; the worker keeps running$/,
    )
  })

  test('says if the response had begun, and if no request was to blame', () => {
    assert.match(
      summary({ outcome: 'interrupted', culprit: 'closed' }),
      /; interrupted; its connection was closed as the response had begun$/,
    )
    assert.match(summary({ outcome: 'interrupted', culprit: 'none' }), /; interrupted$/)
  })

  test('says how many of the other requests were served', () => {
    assert.match(
      summary({ outcome: 'interrupted', culprit: '503', others: { inFlight: 14, served: 12 } }),
      /; 12 of 14 other requests served$/,
    )
    assert.match(
      summary({ outcome: 'interrupted', culprit: '503', others: { inFlight: 1, served: 1 } }),
      /; 1 other request served$/,
    )
    assert.match(
      summary({ outcome: 'interrupted', culprit: '503', others: { inFlight: 0, served: 0 } }),
      /answered 503$/,
    )
  })

  test('in the kernel without a stack names the wait, the child and the oldest request', () => {
    const text = summary({
      outcome: 'killed',
      stalledForMs: 15_000,
      evidence: [
        evidence({
          stage: 'kill',
          stack: null,
          request: null,
          inFlight: [{ method: 'GET', target: '/report?key=secret', ageMs: 15_100 }],
          inFlightCount: 3,
          kernel: kernel({ wchan: 'do_wait', syscall: 'wait4', children: ['sleep 20'] }),
        }),
      ],
      emergencyResponses: { inFlight: 20, unread: 21, closed: 2, tookMs: 12 },
      replacement: { worker: 5, afterMs: 1_400 },
    })
    assert.equal(
      text,
      'worker 2 (pid 7) stalled for 15.0 s, waiting in the kernel (do_wait, wait4) for child "sleep 20", oldest of 3 requests in flight: GET /report (15.1 s); killed; 41 clients answered 503, 2 closed; worker 5 took over after 1.4 s',
    )
  })

  test('on a file names it, and not a child that it does not wait for', () => {
    const on = kernel({ wchan: 'pipe_read', syscall: 'read', target: '/tmp/fifo', children: ['helper'] })
    assert.match(
      summary({ evidence: [evidence({ kernel: on })] }),
      /, waiting in the kernel \(pipe_read, read\) on \/tmp\/fifo;/,
    )
    const futex = kernel({ wchan: 'futex_wait_queue', syscall: 'futex', children: ['helper'] })
    assert.match(
      summary({ evidence: [evidence({ kernel: futex })] }),
      /, waiting in the kernel \(futex_wait_queue, futex\);/,
    )
  })

  test('keeps the stack of an earlier stage when the last has none', () => {
    const text = summary({
      evidence: [evidence(), evidence({ stage: 'kill', stack: null, request: null })],
      outcome: 'killed',
    })
    assert.match(text, /in verify \(src\/login\.ts:42\) for POST \/login/)
  })

  test('says if an interruption failed, or why there was none', () => {
    const interrupted = [evidence(), evidence({ stage: 'interrupt' }), evidence({ stage: 'kill' })]
    assert.match(
      summary({ outcome: 'killed', evidence: interrupted }),
      /; interruption failed; killed; 15 requests lost$/,
    )
    assert.match(
      summary({
        outcome: 'killed',
        notInterrupted: 'async-hooks',
        emergencyResponses: { inFlight: 0, unread: 0, closed: 3, tookMs: 1 },
      }),
      /; not interrupted because an async_hooks hook is enabled, under which an interruption may abort the process; killed; 3 clients closed$/,
    )
    assert.match(
      summary({ outcome: 'killed', emergencyResponses: { inFlight: 1, unread: 0, closed: 0, tookMs: 1 } }),
      /; killed; 1 client answered 503$/,
    )
    assert.match(
      summary({ outcome: 'killed', emergencyResponses: { inFlight: 0, unread: 0, closed: 0, tookMs: 1 } }),
      /; killed; no client was waiting$/,
    )
  })

  test('in an allowBlocking job names it', () => {
    assert.match(
      summary({ evidence: [evidence({ allowBlocking: 'reindex' })] }),
      /\(src\/login\.ts:42\) beyond the timeout of allowBlocking "reindex" for POST/,
    )
  })

  test('says if the heap is nearly full, since the collector may be what spins', () => {
    const memory = { rss: 5e9, heapUsed: 3.9e9, heapLimit: 4e9 }
    assert.match(summary({ evidence: [evidence({ memory })] }), /, spinning, heap 98 % full;/)
  })
})

describe('the frame that is shown', () => {
  const textOf = (stack: readonly StackFrame[]): string => summary({ evidence: [evidence({ stack })] })

  test('is the innermost of the app', () => {
    assert.match(textOf(STACK), / in verify \(src\/login\.ts:42\)/)
  })

  test('is the innermost if the app has none', () => {
    assert.match(textOf(STACK.slice(0, 2)), / in pbkdf2Sync \(node:internal\/crypto\/pbkdf2:62\)/)
  })

  test('is not one of Punctual, and has its whole path outside the working directory', () => {
    const own = frame('wrapped', fileURLToPath(new URL('../patches/http-server.ts', import.meta.url)), 9)
    assert.match(textOf([own, frame('work', 'file:///srv/other/job.ts', 8)]), / in work \(\/srv\/other\/job\.ts:8\)/)
  })

  test('may be an anonymous function', () => {
    assert.match(textOf([frame('', '/app/a.ts', 1)]), / in an anonymous function \(a\.ts:1\)/)
  })

  test('is omitted if the stack is empty', () => {
    assert.match(textOf([]), /stalled for 1\.0 s for POST \/login/)
  })
})

test('a frozen process shows the lost requests, or that it recovered', () => {
  const frozen = evidence({
    stage: 'frozen',
    stalledForMs: 20_000,
    stack: null,
    request: null,
    inFlight: [],
    inFlightCount: 12,
    kernel: kernel({ doing: 'stopped' }),
  })
  assert.equal(
    summary({ kind: 'frozen', outcome: 'killed', evidence: [frozen], replacement: { worker: 3, afterMs: 300 } }),
    'worker 2 (pid 7) sent no heartbeat for 20.0 s, stopped by a signal; killed; 12 requests lost; worker 3 took over after 300 ms',
  )
  assert.match(summary({ kind: 'frozen', outcome: 'ended', evidence: [frozen] }), /; it recovered$/)
})

test('a boot that takes too long shows where it is', () => {
  const boot = evidence({
    stage: 'boot',
    stalledForMs: 60_000,
    request: null,
    inFlight: [],
    inFlightCount: 0,
    stack: [frame('loadModels', '/app/models.ts', 10)],
  })
  assert.equal(
    summary({ kind: 'boot', outcome: 'killed', evidence: [boot] }),
    'worker 2 (pid 7) was not ready after 60.0 s in loadModels (models.ts:10), spinning; killed',
  )
  const imports = ['/app/models.ts', '/app/routes.ts', '/app/server.ts']
  assert.match(
    summary({ kind: 'boot', outcome: 'killed', evidence: [boot], imports }),
    / in loadModels \(models\.ts:10\), .*imported by routes\.ts, imported by server\.ts/,
  )
  assert.equal(
    summary({ kind: 'boot', outcome: 'killed', evidence: [], stalledForMs: 60_000 }),
    'worker 2 (pid 7) was not ready after 60.0 s; killed',
  )
})

test('a boot that throws or exits shows why', () => {
  const error = { name: 'SyntaxError', message: 'Unexpected token\nmore', stack: '' }
  assert.equal(
    summary({ kind: 'boot', outcome: 'exited', evidence: [], error, exit: { code: 1, signal: null } }),
    'worker 2 (pid 7) did not boot: SyntaxError: Unexpected token; exit code 1',
  )
  assert.equal(
    summary({ kind: 'boot', outcome: 'exited', evidence: [], exit: { code: 0, signal: null } }),
    'worker 2 (pid 7) exited before it was ready: exit code 0',
  )
})

test('a crash shows the error, the signal or the exit code', () => {
  const error = { name: 'TypeError', message: 'x is not a function', stack: '' }
  assert.equal(
    summary({
      kind: 'crash',
      outcome: 'exited',
      evidence: [],
      error,
      exit: { code: 1, signal: null },
      replacement: { worker: 4, afterMs: 90 },
    }),
    'worker 2 (pid 7) crashed: TypeError: x is not a function; exit code 1; worker 4 took over after 90 ms',
  )
  assert.match(
    summary({ kind: 'crash', outcome: 'exited', evidence: [], exit: { code: null, signal: 'SIGKILL' } }),
    /^worker 2 \(pid 7\) exited unexpectedly: killed by SIGKILL from outside/,
  )
  assert.match(
    summary({ kind: 'crash', outcome: 'exited', evidence: [], exit: { code: null, signal: 'SIGSEGV' } }),
    /exited unexpectedly: killed by SIGSEGV$/,
  )
  assert.match(
    summary({ kind: 'crash', outcome: 'exited', evidence: [], exit: { code: 3, signal: null } }),
    /exited unexpectedly: exit code 3$/,
  )
})

test('a full heap is shown with its size, also at the end of a stall', () => {
  const heap = { used: 48 * 2 ** 20, limit: 48 * 2 ** 20 }
  const exit = { code: null, signal: 'SIGABRT' }
  assert.equal(
    summary({ kind: 'crash', outcome: 'exited', evidence: [], exit, heap }),
    'worker 2 (pid 7) ran out of memory: heap full (48 MiB of 48 MiB)',
  )
  assert.match(
    summary({ kind: 'stall', outcome: 'exited', exit, heap }),
    /^worker 2 \(pid 7\) stalled .*; then it ran out of memory: heap full \(48 MiB of 48 MiB\)$/,
  )
  assert.match(
    summary({ kind: 'stall', outcome: 'exited', exit: { code: 3, signal: null } }),
    /; then it exited unexpectedly: exit code 3$/,
  )
})

test('a worker replaced for its memory shows its usage and limit', () => {
  const memory = { rss: 612 * 2 ** 20, limit: 512 * 2 ** 20 }
  assert.equal(
    summary({ kind: 'memory', outcome: 'exited', evidence: [], memory, replacement: { worker: 5, afterMs: 400 } }),
    'worker 2 (pid 7) used 612 MiB of memory (maxMemory 512 MiB); replaced; worker 5 took over after 400 ms',
  )
})

test('a leak shows the pool, the borrower and how long', () => {
  const leak = { pool: 'main', borrower: 'auth (listUsers (src/users.ts:42))', heldForMs: 61_000 }
  assert.equal(
    summary({ kind: 'leak', outcome: 'ongoing', evidence: [], leak }),
    'worker 2 (pid 7): connection of pool main checked out for 61.0 s by auth (listUsers (src/users.ts:42)); unless it is returned the pool will be exhausted',
  )
})

test('a crash loop shows its reasons and the last error', () => {
  const error = { name: 'Error', message: 'no database', stack: '' }
  assert.equal(
    summary({
      kind: 'crash-loop',
      worker: null,
      outcome: 'exited',
      evidence: [],
      failures: { withinMs: 60_000, reasons: { boot: 3, crash: 7 } },
      error,
    }),
    'workers failed 10 times within 60.0 s (7 crash, 3 boot); the arbiter gave up; last error: Error: no database',
  )
})

test('an internal error shows the error and the event', () => {
  const error = { name: 'TypeError', message: 'x is not a function', stack: '' }
  assert.equal(
    summary({ kind: 'internal-error', worker: null, outcome: 'exited', evidence: [], during: 'tick', error }),
    'the arbiter failed on the event "tick": TypeError: x is not a function; it killed its workers',
  )
})

test('a summary is one line and does not show the query of a request', () => {
  const request = { method: 'GET', target: `/a\u001b[31m\nforged?token=secret&${'x'.repeat(500)}`, ageMs: 1 }
  const text = summary({ evidence: [evidence({ request })] })
  assert.ok(!text.includes('\n') && !text.includes('\u001b') && !text.includes('secret'))
})
