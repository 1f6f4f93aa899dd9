declare const milliseconds: unique symbol

/** A length of time in milliseconds. `unbounded` is the only way to say "without limit"; 0 is zero. */
export type Milliseconds = number & { readonly [milliseconds]: true }

/** Without limit. Never 0, null or -1. */
export const UNBOUNDED: Milliseconds = Number.POSITIVE_INFINITY as Milliseconds

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const FORM = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/

/** A duration in milliseconds from a number known to be one. */
export function ms(value: number): Milliseconds {
  return value as Milliseconds
}

/** Reads `250ms`, `5s`, `10m`, `1h`, `2d` or `unbounded`; undefined for anything else, a bare number included. */
export function parseDuration(text: string): Milliseconds | undefined {
  if (text === 'unbounded') return UNBOUNDED
  const match = FORM.exec(text)
  if (match === null) return undefined
  return ms(Number(match[1]) * UNITS[match[2] as keyof typeof UNITS])
}

/** The shortest exact form that `parseDuration` reads back: `90s` is `90s`, `60s` is `1m`. */
export function formatDuration(value: Milliseconds): string {
  if (value === UNBOUNDED) return 'unbounded'
  for (const unit of ['d', 'h', 'm', 's'] as const) {
    if (value >= UNITS[unit] && value % UNITS[unit] === 0) return `${value / UNITS[unit]}${unit}`
  }
  return `${value}ms`
}

/** A length of time for a sentence: `212 ms`, `5.0 s`, `3.2 min`. */
export function formatElapsed(value: number): string {
  if (value < 1_000) return `${Math.round(value)} ms`
  if (value < 120_000) return `${(value / 1_000).toFixed(1)} s`
  return `${(value / 60_000).toFixed(1)} min`
}
