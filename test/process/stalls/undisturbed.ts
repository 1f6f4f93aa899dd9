import assert from 'node:assert/strict'
import type { Incident } from '../../../src/diagnostics/incident.ts'

/**
 * Nothing was interrupted or killed, and no stall took `shorterThan` milliseconds. Incidents are
 * allowed: on a busy machine a process may not run for long enough to be reported.
 */
export function assertUndisturbed(incidents: readonly Incident[], shorterThan: number): void {
  for (const { kind, outcome, stalledForMs = 0, id } of incidents) {
    assert.ok(outcome === 'ongoing' || outcome === 'ended', id)
    assert.ok(kind === 'frozen' || stalledForMs < shorterThan, id)
  }
}
