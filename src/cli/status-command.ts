import { Command } from 'commander'
import type { Status, WorkerStatus } from '../diagnostics/status.ts'
import { type Column, textTable } from '../diagnostics/text-table.ts'
import { printable } from '../redaction/printable.ts'
import { formatElapsed, ms } from '../resilience/duration.ts'
import { addStateDirFlag, askArbiter, readStateDir } from './control-client.ts'
import { formatJson, printAndExit } from './print.ts'

/** `punctual status`: the running workers, as a table or as the JSON of `/status`. */
export function statusCommand(): Command {
  const command = new Command('status')
    .description('print the running workers')
    .option('--json', 'print the JSON of /status')
  return addStateDirFlag(command).action(async (options: { readonly json?: true; readonly stateDir?: string }) => {
    const status = await askArbiter(await readStateDir(options), { command: 'status' }, { timeout: ms(10_000) })
    await printAndExit(options.json ? formatJson(status) : formatStatus(status))
  })
}

const COLUMNS: readonly (Column & { cell(worker: WorkerStatus): string })[] = [
  { heading: 'WORKER', align: 'right', cell: ({ id }) => String(id) },
  { heading: 'PID', align: 'right', cell: ({ pid }) => (pid === null ? '-' : String(pid)) },
  { heading: 'STATE', align: 'left', cell: formatState },
  { heading: 'GEN', align: 'right', cell: ({ generation }) => String(generation) },
  { heading: 'AGE', align: 'right', cell: ({ ageMs }) => formatElapsed(ageMs) },
  { heading: 'REQUESTS', align: 'right', cell: ({ requests }) => String(requests) },
  { heading: 'IN FLIGHT', align: 'right', cell: ({ inFlight }) => String(inFlight) },
  { heading: 'LAG', align: 'right', cell: ({ loopLagMs }) => (loopLagMs === null ? '-' : formatElapsed(loopLagMs)) },
  {
    heading: 'RSS',
    align: 'right',
    cell: ({ rssBytes }) => (rssBytes === null ? '-' : `${Math.round(rssBytes / 1024 / 1024)} MiB`),
  },
]

/** A headline, the addresses, the restarts and incidents, and a row for each worker. */
export function formatStatus(status: Status): string {
  const ready = status.workers.filter((worker) => worker.state === 'ready').length
  const restarts = Object.entries(status.restarts).map(([reason, times]) => `${times} ${reason}`)
  const { total, newest } = status.incidents
  const lines = [
    `${status.name}: ${status.phase}, ${status.ready ? 'ready' : 'NOT READY'}; ${ready} of ${status.wanted} workers ready, generation ${status.generation}`,
    `${status.address ?? 'not listening'}; arbiter pid ${status.pid}, up ${formatElapsed(status.uptimeMs)}, Punctual ${status.version}`,
    `restarts: ${restarts.length === 0 ? 'none' : restarts.join(', ')}; incidents: ${total === 0 ? 'none' : `${total}, newest ${newest ?? 'unknown'}`}`,
  ]
  const rows = status.workers.map((worker) => COLUMNS.map((column) => column.cell(worker)))
  return `${lines.map(printable).join('\n')}\n\n${rows.length === 0 ? 'no workers\n' : textTable(COLUMNS, rows)}`
}

function formatState({ state, tainted, debugged, heartbeatAgeMs }: WorkerStatus): string {
  const stalledFor = state === 'stalled' && heartbeatAgeMs !== null ? ` ${formatElapsed(heartbeatAgeMs)}` : ''
  return `${state}${stalledFor}${tainted ? ', tainted' : ''}${debugged ? ', debugged' : ''}`
}
