import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** A member of an interface or a class. */
export interface Member {
  /** `timeout?`, `run<Value>(work: …): Promise<Value>`, `get state()`. */
  readonly signature: string
  readonly doc: Doc
}

/** A doc comment, taken apart. */
export interface Doc {
  readonly text: string
  readonly params: readonly (readonly [name: string, text: string])[]
  readonly returns: string | null
  readonly throws: readonly string[]
}

export interface Declaration {
  readonly kind: 'function' | 'class' | 'interface' | 'type' | 'const'
  readonly name: string
  /** As `tsc` writes it, without comments, `export` and `declare`. */
  readonly signature: string
  readonly doc: Doc
  /** Of an interface or a class. */
  readonly members: readonly Member[]
}

/**
 * The exports of an entry by name, read from declarations that `tsc` has written: every statement
 * begins a line, every member follows four spaces, and a doc comment precedes either. A name with
 * overloads has several declarations.
 *
 * @param file absolute path of a `.d.ts`
 */
export function readExports(file: string): ReadonlyMap<string, readonly Declaration[]> {
  const found = new Map<string, readonly Declaration[]>()
  const { declarations, reexports } = readFile(file)
  for (const declaration of declarations) {
    if (!declaration.isExported) continue
    found.set(declaration.name, [...(found.get(declaration.name) ?? []), declaration])
  }
  for (const { from, names } of reexports) {
    const other = readExports(join(dirname(file), from.replace(/\.ts$/, '.d.ts').replace(/\.js$/, '.d.ts')))
    if (names === null) for (const [name, declared] of other) found.set(name, declared)
    for (const [name, as] of names ?? []) found.set(as, other.get(name) ?? missing(file, name, from))
  }
  return found
}

function missing(file: string, name: string, from: string): never {
  throw new Error(`${file} exports ${name} from ${from}, which does not have it`)
}

interface FileContent {
  readonly declarations: readonly (Declaration & { readonly isExported: boolean })[]
  /** `names` is null for `export *`. */
  readonly reexports: readonly {
    readonly from: string
    readonly names: readonly (readonly [string, string])[] | null
  }[]
}

function readFile(file: string): FileContent {
  const lines = readFileSync(file, 'utf8').split('\n')
  const declarations: (Declaration & { isExported: boolean })[] = []
  const reexports: FileContent['reexports'][number][] = []
  for (const { comment, statement } of statements(lines, '')) {
    const [text] = [statement.join('\n')]
    const reexport = /^export (?:type )?(?:\*|\{([^}]*)\}) from '([^']+)';$/.exec(text.replaceAll('\n', ' '))
    if (reexport !== null) {
      reexports.push({ from: reexport[2] ?? '', names: reexport[1] === undefined ? null : namesOf(reexport[1]) })
      continue
    }
    const declared = /^(export )?(?:declare )?(?:abstract )?(function|class|interface|type|const) ([\w$]+)/.exec(text)
    if (declared === null) continue
    const [, isExported, kind, name = ''] = declared
    declarations.push({
      kind: kind as Declaration['kind'],
      name,
      signature: signatureOf(statement),
      doc: parseDoc(comment),
      members: membersOf(statement),
      isExported: isExported !== undefined,
    })
  }
  return { declarations, reexports }
}

/** `type A, b as c` is A as A and b as c. */
function namesOf(clause: string): readonly (readonly [string, string])[] {
  return clause
    .split(',')
    .map((name) => name.trim().replace(/^type /, ''))
    .filter((name) => name !== '')
    .map((name) => {
      const [from = '', as = from] = name.split(' as ')
      return [from, as] as const
    })
}

interface Statement {
  readonly comment: readonly string[]
  readonly statement: readonly string[]
}

/**
 * Splits lines that begin with `indent` into statements with the comment before each; a statement
 * goes on while its lines are indented deeper, or close it.
 */
function statements(lines: readonly string[], indent: string): readonly Statement[] {
  const found: Statement[] = []
  let comment: string[] = []
  let statement: string[] = []
  let inComment = false
  const finish = (): void => {
    if (statement.length > 0) {
      found.push({ comment, statement })
      comment = []
    }
    statement = []
  }
  for (const line of lines) {
    const text = line.slice(indent.length)
    if (inComment || text.startsWith('/**')) {
      if (!inComment) finish()
      comment.push(text)
      inComment = !text.endsWith('*/')
    } else if (text !== '' && !/^[\s})]/.test(text)) {
      finish()
      statement.push(text)
    } else if (text !== '' && statement.length > 0) statement.push(text)
  }
  finish()
  return found
}

function membersOf(statement: readonly string[]): readonly Member[] {
  if (!/^export (declare )?(abstract )?(class|interface)\b/.test(statement[0] ?? '')) return []
  return statements(statement.slice(1, -1), '    ').flatMap(({ comment, statement: lines }) => {
    const text = lines
      .map((line) => line.trim())
      .join(' ')
      .replace(/;$/, '')
    // A getter stands for its setter, too.
    if (/^(#private|private |protected |set )/.test(text) || comment.some((line) => line.includes('@internal')))
      return []
    const signature = text.replace(/^(declare )?(readonly )?/, '')
    return [{ signature, doc: parseDoc(comment) }]
  })
}

/** The statement without comments and private members. */
function signatureOf(statement: readonly string[]): string {
  return statement
    .join('\n')
    .replace(/^export /, '')
    .replace(/^declare /, '')
    .replace(/\n\s*\/\*\*[\s\S]*?\*\//g, '')
    .replace(/\n\s*#private;/g, '')
    .replace(/;$/, '')
}

function parseDoc(comment: readonly string[]): Doc {
  const lines = comment.map((line) =>
    line
      .trim()
      .replace(/ ?\*\/$/, '')
      .replace(/^\/\*\* ?/, '')
      .replace(/^\* ?/, ''),
  )
  const [text, ...tags] = lines
    .join('\n')
    .trim()
    .split(/\n(?=@)|^(?=@)/)
  const parts = (text ?? '').startsWith('@') ? [text ?? '', ...tags] : tags
  const named = (tag: string): string[] =>
    parts.filter((part) => part.startsWith(`@${tag}`)).map((part) => oneLine(part.slice(tag.length + 2)))
  return {
    text: (text ?? '').startsWith('@') ? '' : paragraphs((text ?? '').trimEnd()),
    params: named('param').map((param) => {
      const [name = '', ...rest] = param.split(' ')
      return [name, rest.join(' ')] as const
    }),
    returns: named('returns')[0] ?? null,
    throws: named('throws').map((text) => text.replace(/^\{?(\w+Error)\}?(?= |$)/, '`$1`')),
  }
}

/** Lines of a paragraph become one; lists, blank lines and fenced code stay. */
function paragraphs(text: string): string {
  return text
    .split(/(^```[\s\S]*?^```$)/m)
    .map((part) =>
      part.startsWith('```')
        ? part
        : part
            .split(/\n\s*\n/)
            .map(paragraph)
            .join('\n\n'),
    )
    .filter((part) => part.trim() !== '')
    .join('\n\n')
    .replaceAll('\n```\n\n```ts\n', '\n\n')
}

/** One that is indented by four spaces is code. */
function paragraph(lines: string): string {
  if (lines.split('\n').every((line) => line.startsWith('    '))) {
    return `\`\`\`ts\n${lines.replace(/^ {4}/gm, '')}\n\`\`\``
  }
  return lines.replace(/\n(?!\s*(?:-|\d+\.) )\s*/g, ' ').trim()
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim()
}
