import type { Fingerprint } from './fingerprint.ts'

const MOST = 1_000

/** By key. What takes time is kept: of too many, the half that took the least so far is forgotten. */
const known = new Map<string, Fingerprint>()

export function knownFingerprint(key: string): Fingerprint | undefined {
  return known.get(key)
}

export function knownFingerprints(): Iterable<Fingerprint> {
  return known.values()
}

/** From now on it is known. */
export function rememberFingerprint(fingerprint: Fingerprint): Fingerprint {
  if (known.size >= MOST) forgetHalf()
  known.set(fingerprint.key, fingerprint)
  fingerprint.isKnown = true
  return fingerprint
}

/** That which counts in place of one that was forgotten while it ran: the same, unless somebody has asked for it anew since. */
export function knownInstead(forgotten: Fingerprint): Fingerprint {
  return known.get(forgotten.key) ?? rememberFingerprint(forgotten)
}

function forgetHalf(): void {
  const all = [...known.values()].sort((one, other) => one.totalMs - other.totalMs)
  for (const fingerprint of all.slice(0, MOST / 2)) {
    known.delete(fingerprint.key)
    fingerprint.isKnown = false
  }
}
