import { redactAll, redactModule, redactTarget } from '../redaction/redaction.ts'
import type { RequestLine, StallEvidence } from './incident.ts'

/** An incident without secrets: targets lose their query string, texts are redacted. */
export function redactIncident<Facts extends { readonly evidence: readonly StallEvidence[] }>(facts: Facts): Facts {
  const evidence = facts.evidence.map((one): StallEvidence => {
    const { request, inFlight, stack } = one
    return {
      ...one,
      request: request === null ? null : withoutQuery(request),
      inFlight: inFlight.map(withoutQuery),
      stack: stack === null ? null : stack.map((frame) => ({ ...frame, file: redactModule(frame.file) })),
    }
  })
  return redactAll({ ...facts, evidence })
}

function withoutQuery(line: RequestLine): RequestLine {
  return { ...line, target: redactTarget(line.target) }
}
