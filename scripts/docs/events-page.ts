import { generatedFrom, markdownTable } from './markdown.ts'

type Incidents = typeof import('../../src/diagnostics/incident.ts')
type Restarts = typeof import('../../src/arbiter/state.ts')
type Outcomes = typeof import('../../src/diagnostics/outcomes.ts')

const INTRODUCTION = `# Events

What can happen to a worker. Each event is logged, stored as an incident under \`.punctual/incidents/\`, and counted. An incident
is one JSON file: \`summary\` is the message of the log, \`evidence\` is what was observed at each stage (stack, request, requests in
flight, kernel, event loop lag, memory). \`punctual incidents <id>\` prints it.`

/** `docs/reference/events.md`. */
export function eventsPage(
  { INCIDENT_KINDS, INCIDENT_OUTCOMES }: Incidents,
  { RESTART_REASONS }: Restarts,
  { OUTCOME_MEANINGS }: Outcomes,
): string {
  const table = (head: string, rows: Readonly<Record<string, string>>): string =>
    markdownTable(
      [head, 'Meaning'],
      Object.entries(rows).map(([name, meaning]) => [`\`${name}\``, meaning]),
    )
  return `${[
    generatedFrom('src/diagnostics/incident.ts and outcomes.ts, and src/arbiter/state.ts'),
    INTRODUCTION,
    '## Incidents by kind',
    table('Kind', INCIDENT_KINDS),
    '## Outcomes of an incident',
    table('Outcome', INCIDENT_OUTCOMES),
    '## Restarts by reason',
    table('Reason', RESTART_REASONS),
    '## Outcomes of a request',
    table('Outcome', OUTCOME_MEANINGS),
  ].join('\n\n')}\n`
}
