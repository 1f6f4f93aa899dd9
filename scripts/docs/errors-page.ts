import { generatedFrom, markdownTable } from './markdown.ts'

type Codes = typeof import('../../src/errors/codes.ts')
type ExitCodes = typeof import('../../src/errors/exit-codes.ts')
type Problems = typeof import('../../src/errors/problem.ts')

const INTRODUCTION = `# Errors

Every error that Punctual throws on purpose is a \`PunctualError\` with a stable \`code\`. A command prints it behind the message, in
brackets, or with \`--json\` as an object of \`code\`, \`message\` and \`details\`. The message is for the operator; what a client reads is an answer of type \`application/problem+json\` (RFC 9457) that reveals nothing of the server's inside.`

/** `docs/reference/errors.md`. */
export function errorsPage({ CODES }: Codes, { EXIT_MEANINGS }: ExitCodes, { problemType }: Problems): string {
  const entries = Object.entries(CODES) as [keyof typeof CODES, (typeof CODES)[keyof typeof CODES]][]
  const parts = [
    generatedFrom('src/errors/codes.ts'),
    INTRODUCTION,
    '## Exit codes',
    exitCodeTable(entries, EXIT_MEANINGS),
  ]
  parts.push('## Errors of the command')
  for (const [code, entry] of entries) {
    if (entry.exitCode === null) continue
    const reserved = entry.reserved === true ? ' This code is reserved; nothing throws it yet.' : ''
    parts.push(
      `### \`${code}\``,
      `**${entry.title}.** ${entry.meaning}${reserved}`,
      `What to do: ${entry.remedy}`,
      `Exit code: ${entry.exitCode}`,
    )
  }
  parts.push('## Answers to clients')
  for (const [code, entry] of entries) {
    if (entry.exitCode !== null) continue
    parts.push(
      `### \`${code}\``,
      `**${entry.title}.** ${entry.meaning}`,
      `What to do: ${entry.remedy}`,
      [
        `- Status: ${entry.httpStatus}${entry.retryAfter === undefined ? '' : `, \`Retry-After: ${entry.retryAfter}\` (seconds)`}`,
        `- Type: \`${problemType(code)}\``,
        `- What the client reads: "${entry.detail}"`,
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
