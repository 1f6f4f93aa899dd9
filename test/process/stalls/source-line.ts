import { readFileSync } from 'node:fs'
import type { Incident, StackFrame } from '../../../src/diagnostics/incident.ts'

/** The line with the comment `here: <name>`, which a test expects in an incident. */
export function markedLine(file: string, name: string): { readonly file: string; readonly line: number } {
  const lines = readFileSync(file, 'utf8').split('\n')
  const index = lines.findIndex((line) => line.endsWith(`// here: ${name}`))
  if (index === -1) throw new Error(`${file} has no line that ends with "here: ${name}"`)
  return { file, line: index + 1 }
}

/** The first frame in `file` of any stack of an incident, the newest evidence first. */
export function frameIn(incident: Incident, file: string): StackFrame | undefined {
  return incident.evidence
    .toReversed()
    .flatMap(({ stack }) => stack ?? [])
    .find((frame) => frame.file === file)
}
