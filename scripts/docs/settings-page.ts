import { generatedFrom, markdownTable } from './markdown.ts'

type Records = typeof import('../../src/settings/records.ts')
type Names = typeof import('../../src/settings/settings.ts')
type Rules = typeof import('../../src/settings/rules.ts')

const INTRODUCTION = `# Settings

Every setting has one name in four places: \`stallInterruptAfter\` is the key \`stallInterruptAfter\` in
\`punctual.config.ts\`, the variable \`PUNCTUAL_STALL_INTERRUPT_AFTER\` and the flag \`--stall-interrupt-after\`. A flag
overrides the environment, which overrides the config file, which overrides the default. \`punctual config\` prints the
values in effect, where each comes from, and the rules.

An invalid value, an unknown \`PUNCTUAL_*\` variable or config key, and a broken rule are errors: Punctual lists all of them
and does not start (exit code 2). "No limit" is the word \`unbounded\`, never 0, -1 or \`Infinity\`.

\`\`\`ts
// punctual.config.ts
import { defineConfig } from 'punctual'

export default defineConfig({ workers: 4, requestTimeout: '20s', maxMemory: '512MiB' })
\`\`\`

Settings with a line "While running" can be changed without a restart: [Changing settings](../guides/changing-settings.md).

The config file is \`punctual.config.ts\`, \`.mts\`, \`.js\`, \`.mjs\` or \`.json\` in the working directory, or the file that
\`--config\` names. Paths in it are relative to the working directory.`

/** `docs/reference/settings.md`. */
export function settingsPage(
  { SETTING_NAMES, recordOf }: Records,
  { flagOf, variableOf }: Names,
  { RULES }: Rules,
): string {
  const groups = [...new Set(SETTING_NAMES.map((name) => recordOf(name).group))]
  const parts = [generatedFrom('src/settings/records.ts'), INTRODUCTION]
  for (const group of groups) {
    parts.push(`## ${group}`)
    for (const name of SETTING_NAMES) {
      const record = recordOf(name)
      if (record.group !== group) continue
      const value = record.default.length === 0 ? 'none' : `\`${record.default}\``
      const variables = [variableOf(name), record.fallbackVariable].filter((variable) => variable !== undefined)
      parts.push(
        `### \`${name}\``,
        record.prose,
        [
          `- Default: ${value}`,
          `- Accepted: ${record.kind.accepts}`,
          `- Flag: \`${flagOf(name)}${record.bare === undefined ? ` <${record.kind.label}>` : ''}\``,
          `- Variable: ${variables.map((variable) => `\`${variable}\``).join(', else ')}`,
          ...(record.runtime === undefined ? [] : [`- While running: \`punctual set ${name} <${record.kind.label}>\``]),
        ].join('\n'),
      )
    }
  }
  parts.push(
    '## Rules between settings',
    'Timeouts nest, so that the inner one acts before the outer one. A rule about a setting without effect does not apply.',
    markdownTable(
      ['Rule', 'Why'],
      RULES.map(({ text, why }) => [`\`${text}\``, why]),
    ),
  )
  return `${parts.join('\n\n')}\n`
}
