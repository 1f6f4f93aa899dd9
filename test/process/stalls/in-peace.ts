import assert from 'node:assert/strict'
import type { Incident } from '../../../src/diagnostics/incident.ts'

/**
 * Nothing was cut or killed, and nothing counted as a stall for as long as `shorterThan` milliseconds. Not "no incident at all": on a crowded machine
 * a process may be kept from running for long enough to be reported.
 */
export function assertInPeace(incidents: readonly Incident[], shorterThan: number): void {
  for (const { kind, outcome, stalledForMs = 0, id } of incidents) {
    assert.ok(outcome === 'ongoing' || outcome === 'ended', id)
    assert.ok(kind === 'frozen' || stalledForMs < shorterThan, id)
  }
}
