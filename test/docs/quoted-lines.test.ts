import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import type { Event } from '../../src/arbiter/events.ts'
import { IncidentTracker } from '../../src/arbiter/incident-tracker.ts'
import type { State } from '../../src/arbiter/state.ts'
import type { StallEvidence } from '../../src/diagnostics/incident.ts'
import { IncidentStore } from '../../src/diagnostics/incident-store.ts'
import { formatSummary, type IncidentFacts } from '../../src/diagnostics/incident-summary.ts'
import { createLog } from '../../src/diagnostics/log.ts'
import { type AccessRecord, formatAccessLine } from '../../src/http/access-record.ts'
import { formatOpenWaits } from '../../src/http/open-waits.ts'
import type { FromMain, FromWatchdog } from '../../src/ipc/messages.ts'
import { resolveSettings } from '../../src/settings/resolve.ts'
import { findPages } from './code-blocks.ts'

const ROOT = join(import.meta.dirname, '../..')
const CWD = '/app'
/** How the lines begin of which the pages quote some. */
const LOG_LINE = /^worker \d+ \(pid \d+\) .*$|^[A-Z]+ \/\S* .*after [\d.]+ m?s.*$/gm

/** Every line of the log that a page quotes, in a block or in the text. */
function quotedLines(): readonly { readonly page: string; readonly line: string }[] {
  return findPages(ROOT).flatMap((page) => {
    const text = readFileSync(join(ROOT, page), 'utf8')
    const blocks = [...text.matchAll(/^```\n([\s\S]*?)^```$/gm)].map(([, block = '']) =>
      // README breaks a line between clauses.
      block.replaceAll(/;\n(?=[a-z])/g, '; '),
    )
    const inline = [...text.matchAll(/`([^`\n]+)`/g)].map(([, code = '']) => code)
    return [...blocks, ...inline].flatMap((code) => [...code.matchAll(LOG_LINE)].map(([line]) => ({ page, line })))
  })
}

const stall = (worker: number, pid: number, seconds: number, stack: StallEvidence['stack'], target: string) =>
  ({
    id: '20261122T004331123-w1-stall',
    kind: 'stall',
    at: '2026-11-22T00:43:31.123Z',
    worker: { id: worker, pid, generation: 1 },
    stalledForMs: seconds * 1_000,
    evidence: [
      {
        stage: 'interrupt',
        stalledForMs: seconds * 1_000,
        stack,
        request: target === '' ? null : { method: target === '/login' ? 'POST' : 'GET', target, ageMs: 1_000 },
        inFlight: [],
        inFlightCount: 0,
        kernel: { doing: 'spinning', cpuShare: 1, wchan: null, syscall: null, target: null, children: [] },
        loopLag: [],
        memory: { rss: 0, heapUsed: 0, heapLimit: 0 },
        allowBlocking: null,
      },
    ],
  }) as const

const frame = (name: string, file: string, line: number) => [
  { function: name, file: `${CWD}/${file}`, line, column: 1 },
]

const login = stall(2, 10_020, 10.1, frame('verify', 'src/login.ts', 5), '/login')
const search = stall(1, 4_185, 10, frame('regex', 'src/search.ts', 56), '/search')
const child = stall(1, 4_185, 4, null, '/child')
const boot = stall(1, 10_687, 60, frame('connect', 'src/geo.ts', 12), '')

const incidents: readonly IncidentFacts[] = [
  { ...login, outcome: 'interrupted', culprit: '503', replacement: { worker: 3, afterMs: 1_700 } },
  {
    ...search,
    outcome: 'interrupted',
    culprit: '503',
    others: { inFlight: 20, served: 20 },
    replacement: { worker: 2, afterMs: 396 },
  },
  {
    ...child,
    outcome: 'killed',
    evidence: [
      {
        ...child.evidence[0],
        stage: 'kill',
        kernel: {
          doing: 'waiting',
          cpuShare: 0,
          wchan: 'do_epoll_wait',
          syscall: 'epoll_pwait',
          target: null,
          children: ['sleep'],
        },
      },
    ],
    notInterrupted: 'blocked-in-system-call',
    emergencyResponses: { inFlight: 6, unread: 0, closed: 0, tookMs: 1 },
    replacement: { worker: 2, afterMs: 1_000 },
  },
  {
    ...boot,
    kind: 'boot',
    outcome: 'killed',
    evidence: [{ ...boot.evidence[0], stage: 'boot' }],
    imports: [`${CWD}/src/geo.ts`, `${CWD}/src/reports.ts`, `${CWD}/src/server.ts`],
  },
]

/** What the log says of a message of a worker. */
function logged(id: number, pid: number, message: FromMain | FromWatchdog): string {
  const { settings } = resolveSettings({ flags: {}, env: {}, cwd: CWD, isTerminal: false })
  const stream = new PassThrough()
  const log = createLog({ level: 'info', format: 'json', stream })
  const tracker = new IncidentTracker(new IncidentStore({ ...settings, log }), log, CWD, `${CWD}/server.js`)
  const event: Event = { type: 'message', worker: id, message, at: 0 }
  tracker.recordEvent(event, { settings, workers: [{ id, pid, waitingFor: [] }] } as unknown as State)
  return (JSON.parse(String(stream.read())) as { readonly msg: string }).msg
}

const postgres = [{ name: '127.0.0.1:5432 (postgresql)', since: 0 }]
const access = (method: string, route: string, given: Partial<AccessRecord>, waits: typeof postgres = []): string =>
  formatAccessLine(
    {
      method,
      route,
      status: 200,
      outcome: 'completed',
      durationMs: 30_000,
      queuedMs: 0,
      worker: 1,
      requestId: '',
      ...given,
    },
    formatOpenWaits(waits, 29_900),
  )

test('the log lines that README and the guides quote are what Punctual prints', () => {
  const printed = new Set([
    ...incidents.map((incident) => formatSummary(incident, CWD)),
    logged(1, 11_479, {
      type: 'boot-slow',
      bootMs: 7_400,
      worst: [
        { module: `${CWD}/src/reports.ts`, selfMs: 3_100 },
        { module: `${CWD}/src/geo.ts`, selfMs: 1_900 },
        { module: 'pdf-kit/index.js', selfMs: 640 },
      ],
    }),
    logged(3, 4_711, { type: 'lingering', notice: 'SIGTERM', waitingFor: ['1 timer', '1 socket to 10.0.0.7:5432'] }),
    access('POST', '/api/auth', { outcome: 'timed-out', status: 503 }, postgres),
    access('GET', '/orders', { outcome: 'timed-out', status: 503 }, postgres),
    access('GET', '/feed', { outcome: 'timed-out', truncated: true }),
    access('GET', '/prices', {
      outcome: 'degraded',
      durationMs: 512,
      waits: [{ name: 'partner', ms: 500, share: 98, outcome: 'degraded' }],
    }),
    access('GET', '/report/:id', {
      durationMs: 2_400,
      waits: [{ name: 'query report', ms: 2_100, share: 88, outcome: 'ok' }],
    }),
    access('GET', '/search', { outcome: 'client-disconnected', status: null, durationMs: 3_000 }),
  ])
  const quoted = quotedLines()
  assert.ok(quoted.some(({ page }) => page === 'README.md'))
  assert.deepEqual(
    quoted.filter(({ line }) => !printed.has(line)),
    [],
    `none of ${[...printed].join('\n')}`,
  )
})
