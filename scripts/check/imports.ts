import type { Token } from './tokens.ts'

export interface ImportedModule {
  readonly specifier: string
  readonly line: number
}

/**
 * The modules that a file imports: `import`, `import type`, `export … from`, and `import()` of a
 * literal, as expression or as type. Ignores a computed `import()`.
 */
export function importsOf(tokens: readonly Token[]): readonly ImportedModule[] {
  const found: ImportedModule[] = []
  tokens.forEach((token, index) => {
    if (token.kind !== 'word' || tokens[index - 1]?.value === '.') return
    const specifier =
      token.value === 'import'
        ? imported(tokens, index)
        : token.value === 'export'
          ? exported(tokens, index)
          : undefined
    if (specifier !== undefined) found.push({ specifier, line: token.line })
  })
  return found
}

function imported(tokens: readonly Token[], index: number): string | undefined {
  const next = tokens[index + 1]
  if (next?.kind === 'text') return next.value
  if (next?.value === '(') return tokens[index + 2]?.kind === 'text' ? tokens[index + 2]?.value : undefined
  if (next === undefined || next.value === '.') return undefined
  return fromClause(tokens, index + 1)
}

function exported(tokens: readonly Token[], index: number): string | undefined {
  const start = tokens[index + 1]?.value === 'type' ? index + 2 : index + 1
  const opens = tokens[start]?.value
  return opens === '{' || opens === '*' ? fromClause(tokens, start) : undefined
}

/** The text after `from`, in a clause of names, braces, commas and stars. */
function fromClause(tokens: readonly Token[], start: number): string | undefined {
  for (let index = start; index < tokens.length; index++) {
    const token = tokens[index]
    const next = tokens[index + 1]
    if (token?.value === 'from' && next?.kind === 'text') return next.value
    const partOfClause =
      token?.kind === 'word' || token?.kind === 'text' || ['{', '}', ',', '*'].includes(token?.value ?? '')
    if (!partOfClause) return undefined
    // `export { a }` ends here if no `from` follows.
    if (token?.value === '}' && next?.value !== 'from') return undefined
  }
  return undefined
}
