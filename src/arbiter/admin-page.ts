import type { IncidentSummary } from '../diagnostics/incident.ts'
import type { Status, WorkerStatus } from '../diagnostics/status.ts'
import { formatElapsed } from '../resilience/duration.ts'

/** The page may load nothing. */
export const PAGE_POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

const STYLE = `
  :root { color-scheme: light dark; --line: #8884; --quiet: #767676 }
  body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
  h1 { font-size: 1.3rem; margin: 0 }
  h2 { font-size: 1rem; margin: 2rem 0 .5rem }
  nav a { margin-right: 1rem }
  .quiet { color: var(--quiet) }
  .scroll { overflow-x: auto }
  table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
  th, td { text-align: right; padding: .3rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap }
  th { font-weight: 600 }
  th.text, td.text { text-align: left }
  td.summary { white-space: normal }
  .stalled { font-weight: 700 }
`

/** The page of the admin server: workers and recent incidents. No scripts; it reloads every 5 s. */
export function adminPage(status: Status, incidents: readonly IncidentSummary[]): string {
  const { name, version, generation, phase, ready, address, pid, uptimeMs } = status
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="refresh" content="5">
<title>${escapeHtml(name)}: ${ready ? 'ready' : 'not ready'}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escapeHtml(name)} is ${ready ? 'ready' : 'not ready'}</h1>
<p class="quiet">${escapeHtml(phase)}, generation ${generation}, ${escapeHtml(address ?? 'not listening yet')}; arbiter pid ${pid} for ${formatElapsed(uptimeMs)}, Punctual ${escapeHtml(version)}</p>
<nav><a href="/status">status</a><a href="/metrics">metrics</a><a href="/incidents">incidents</a><a href="/readyz">readyz</a><a href="/livez">livez</a></nav>
<h2>Workers</h2>
<div class="scroll"><table>
<tr><th>worker<th>pid<th class="text">state<th>generation<th>age<th>requests<th>in flight<th>connections<th>loop lag<th>memory</tr>
${status.workers.map(workerRow).join('\n')}
</table></div>
<h2>Incidents</h2>
${incidents.length === 0 ? '<p class="quiet">none</p>' : `<div class="scroll"><table>\n${incidents.map(incidentRow).join('\n')}\n</table></div>`}
</body>
</html>
`
}

function workerRow(worker: WorkerStatus): string {
  const state = `${worker.state}${worker.tainted ? ', tainted' : ''}${worker.debugged ? ', debugged' : ''}`
  const cells = [
    worker.pid ?? '',
    null,
    worker.generation,
    formatElapsed(worker.ageMs),
    worker.requests,
    worker.inFlight,
    worker.connections,
    worker.loopLagMs === null ? '' : formatElapsed(worker.loopLagMs),
    worker.rssBytes === null ? '' : `${Math.round(worker.rssBytes / 1024 / 1024)} MiB`,
  ].map((cell) => (cell === null ? `<td class="text ${worker.state}">${escapeHtml(state)}` : `<td>${cell}`))
  return `<tr><td>${worker.id}${cells.join('')}</tr>`
}

function incidentRow({ id, at, kind, summary }: IncidentSummary): string {
  const when = at.slice(0, 19).replace('T', ' ')
  const link = `/incidents/${encodeURIComponent(id)}`
  return `<tr><td class="text"><a href="${escapeHtml(link)}">${escapeHtml(when)}</a><td class="text">${escapeHtml(kind)}<td class="text summary">${escapeHtml(summary)}</tr>`
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
