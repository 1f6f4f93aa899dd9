import type { Incident, StallEvidence } from './incident.ts'

interface Step {
  /** Listed in `truncated`. */
  readonly leftOut: string
  shrink(incident: Incident): Incident
}

/** The least important details first. */
const STEPS: readonly Step[] = [
  { leftOut: 'requests in flight after the 10 oldest', shrink: (incident) => shortenLists(incident, 10, 600, 1_000) },
  { leftOut: 'loop lag before the last 10 s', shrink: (incident) => shortenLists(incident, 10, 10, 1_000) },
  { leftOut: 'stack frames after the 20 innermost', shrink: (incident) => shortenLists(incident, 10, 10, 20) },
  { leftOut: 'the rest of long texts', shrink: (incident) => shortenTexts(incident, 500) },
  { leftOut: 'most of the evidence', shrink: (incident) => shortenTexts(shortenLists(incident, 1, 0, 5), 200) },
  { leftOut: 'all but the first and last evidence', shrink: firstAndLast },
  { leftOut: 'the evidence', shrink: (incident) => shortenTexts({ ...incident, evidence: [] }, 120) },
]

/**
 * Formats an incident as JSON of at most `limit` bytes. Details are left out step by step until it
 * fits, and listed in `truncated`. After the last step it has about 1 KiB and is returned anyway.
 */
export function incidentJson(incident: Incident, limit: number): string {
  let json = pretty(incident)
  if (fits(json, limit)) return json
  let small: Incident = incident
  const truncated: string[] = []
  for (const step of STEPS) {
    small = step.shrink(small)
    truncated.push(step.leftOut)
    json = pretty({ ...small, truncated })
    if (fits(json, limit)) return json
  }
  return json
}

function pretty(incident: Incident): string {
  return `${JSON.stringify(incident, null, 2)}\n`
}

function fits(json: string, limit: number): boolean {
  return Buffer.byteLength(json) <= limit
}

function shortenLists(incident: Incident, inFlight: number, loopLag: number, frames: number): Incident {
  const shorten = (evidence: StallEvidence): StallEvidence => ({
    ...evidence,
    inFlight: evidence.inFlight.slice(0, inFlight),
    loopLag: loopLag === 0 ? [] : evidence.loopLag.slice(-loopLag),
    stack: evidence.stack === null ? null : evidence.stack.slice(0, frames),
  })
  return { ...incident, evidence: incident.evidence.map(shorten) }
}

function firstAndLast(incident: Incident): Incident {
  const { evidence } = incident
  return evidence.length <= 2 ? incident : { ...incident, evidence: [...evidence.slice(0, 1), ...evidence.slice(-1)] }
}

function shortenTexts(incident: Incident, longest: number): Incident {
  return shortenTextsIn(incident, longest) as Incident
}

/** Also shortens lists of strings (command lines of children). */
function shortenTextsIn(value: unknown, longest: number): unknown {
  if (typeof value === 'string') return value.length <= longest ? value : `${value.slice(0, longest)}…`
  if (Array.isArray(value)) {
    const kept = value.every((item) => typeof item === 'string') ? value.slice(0, 10) : value
    return kept.map((item) => shortenTextsIn(item, longest))
  }
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shortenTextsIn(item, longest)]))
}
