import { generatedFrom, markdownTable } from './markdown.ts'

type Codes = typeof import('../../src/errors/codes.ts')
type Problems = typeof import('../../src/errors/problem.ts')

const INTRODUCTION = `# Errors

Every error that Punctual throws has a stable \`code\`. A command prints the code in brackets after the message, or with \`--json\` an
object of \`code\`, \`message\` and \`details\`. The message is for the operator; a client gets a response of type
\`application/problem+json\` (RFC 9457) that reveals no internals.

\`\`\`ts
import { InvalidOptionError, PunctualError } from 'punctual'

try {
  await work()
} catch (error) {
  if (error instanceof PunctualError) console.error(error.code, error.details)
  // A mistake in the call: a RangeError of the same shape.
  else if (error instanceof InvalidOptionError) console.error(error.code, error.details.option)
  else throw error
}
\`\`\``

/** `docs/reference/errors.md`. */
export function errorsPage({ CODES, EXIT_MEANINGS }: Codes, { problemType }: Problems): string {
  const entries = Object.entries(CODES) as [keyof typeof CODES, (typeof CODES)[keyof typeof CODES]][]
  const parts = [
    generatedFrom('src/errors/codes.ts'),
    INTRODUCTION,
    '## Exit codes',
    exitCodeTable(entries, EXIT_MEANINGS),
  ]
  parts.push('## Errors of commands')
  for (const [code, entry] of entries) {
    if (entry.exitCode === null) continue
    const reserved = entry.reserved === true ? ' This code is reserved; no version throws it yet.' : ''
    parts.push(
      `### \`${code}\``,
      `**${entry.title}.** ${entry.meaning}${reserved}`,
      `What to do: ${entry.remedy}`,
      `Exit code: ${entry.exitCode}`,
    )
  }
  parts.push('## Errors of requests')
  for (const [code, entry] of entries) {
    if (entry.exitCode !== null) continue
    parts.push(
      `### \`${code}\``,
      `**${entry.title}.** ${entry.meaning}`,
      `What to do: ${entry.remedy}`,
      [
        `- Status: ${entry.httpStatus}${entry.retryAfter === undefined ? '' : `, \`Retry-After: ${entry.retryAfter}\` (seconds)`}`,
        `- Type: \`${problemType(code)}\``,
        `- Detail for the client: "${entry.detail}"`,
      ].join('\n'),
    )
  }
  return `${parts.join('\n\n')}\n`
}

function exitCodeTable(
  entries: readonly (readonly [string, { readonly exitCode: number | null }])[],
  meanings: Readonly<Record<string, string>>,
): string {
  return markdownTable(
    ['Exit code', 'Meaning', 'Errors'],
    Object.entries(meanings).map(([exitCode, meaning]) => {
      const codes = entries.filter(([, entry]) => entry.exitCode === Number(exitCode)).map(([code]) => `\`${code}\``)
      return [exitCode, meaning, codes.join(', ')]
    }),
  )
}
