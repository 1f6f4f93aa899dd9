import { readFileSync } from 'node:fs'

/** Punctual's own version, from the package it is part of. */
export function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}
