import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runTool, spawnTool } from '../check/tool.ts'
import { type Declaration, type Doc, type Member, readExports } from './declarations.ts'
import { generatedFrom } from './markdown.ts'

const INTRODUCTION = `# API

All exports of the package, by the module to import them from: names, signatures, defaults and errors. The guides show how to
use them. This page is generated from the types and their comments.`

const KINDS = ['function', 'const', 'class', 'interface', 'type'] as const

/** `docs/reference/api.md`, from the declarations of each entry in `exports` of package.json. */
export async function apiPage(root: string): Promise<string> {
  const declarations = mkdtempSync(join(tmpdir(), 'punctual-declarations-'))
  try {
    const flags = ['-p', 'tsconfig.build.json', '--emitDeclarationOnly', '--declaration', '--outDir', declarations]
    const faults = await runTool(root, 'tsc', flags)
    if (faults.length > 0) throw new Error(`tsc wrote no declarations: ${faults.join('\n')}`)
    return await format(root, render(entriesOf(root), declarations))
  } finally {
    rmSync(declarations, { recursive: true })
  }
}

/** Formats the page and its code blocks in the style of the repository. */
async function format(root: string, text: string): Promise<string> {
  const flags = ['format', '--stdin-file-path=docs/reference/api.md']
  const { code, stdout, stderr } = await spawnTool(root, 'biome', flags, text)
  if (code !== 0) throw new Error(`biome did not format the API page: ${stderr}`)
  return stdout
}

interface Entry {
  /** `punctual`, `punctual/fastify`. */
  readonly module: string
  /** Relative to the declarations: `index.d.ts`. */
  readonly file: string
}

function entriesOf(root: string): readonly Entry[] {
  const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    readonly exports: Readonly<Record<string, string | { readonly types?: string }>>
  }
  return Object.entries(exports).flatMap(([path, target]) => {
    if (typeof target === 'string' || target.types === undefined) return []
    return [{ module: path.replace(/^\./, 'punctual'), file: target.types.replace(/^\.\/dist\//, '') }]
  })
}

function render(entries: readonly Entry[], declarations: string): string {
  const parts = [generatedFrom('the types'), INTRODUCTION]
  /** The module under which a declaration is described: the first one that exports it. */
  const described = new Map<string, string>()
  for (const { module, file } of entries) {
    parts.push(`## \`${module}\``)
    const exported = [...readExports(join(declarations, file))].toSorted(byKindAndName)
    const elsewhere: string[] = []
    for (const [name, declared] of exported) {
      const key = `${name}\n${declared.map(({ signature }) => signature).join('\n')}`
      const before = described.get(key)
      if (before === undefined) {
        described.set(key, module)
        parts.push(...describe(name, declared))
      } else elsewhere.push(`\`${name}\` (\`${before}\`)`)
    }
    if (elsewhere.length > 0) parts.push(`Also exported here: ${elsewhere.join(', ')}.`)
  }
  return `${parts.join('\n\n')}\n`
}

type Exported = readonly [name: string, declared: readonly Declaration[]]

function byKindAndName([one, [first]]: Exported, [other, [second]]: Exported): number {
  const rank = (declaration: Declaration | undefined): number => KINDS.indexOf(declaration?.kind ?? 'type')
  return rank(first) - rank(second) || (one < other ? -1 : 1)
}

function describe(name: string, declared: readonly Declaration[]): readonly string[] {
  const [first] = declared
  if (first === undefined) return []
  const parts = [`### \`${first.kind === 'function' ? `${name}()` : name}\``]
  for (const { doc } of declared) if (doc.text !== '') parts.push(doc.text)
  if (first.members.length === 0) {
    parts.push(['```ts', ...declared.map(({ signature }) => signature), '```'].join('\n'))
  } else {
    const heading = first.signature.split('\n')[0]?.replace(/ \{$/, '') ?? ''
    parts.push(['```ts', heading, '```'].join('\n'), memberList(first.members))
  }
  for (const { doc } of declared) parts.push(...tagLists(doc))
  return parts
}

function tagLists({ params, returns, throws }: Doc): readonly string[] {
  const lines = params.map(([name, text]) => `- \`${name}\`: ${text}`)
  if (returns !== null) lines.push(`- Returns ${returns}`)
  for (const error of throws) lines.push(`- Throws ${error}`)
  return lines.length === 0 ? [] : [lines.join('\n')]
}

function memberList(members: readonly Member[]): string {
  return members.map(({ signature, doc }) => `- \`${signature}\`${textOfMember(doc)}`).join('\n')
}

function textOfMember(doc: Doc): string {
  const parts = [
    doc.text,
    doc.returns === null ? '' : `Returns ${doc.returns}.`,
    ...doc.throws.map((error) => `Throws ${error}.`),
  ].filter((part) => part !== '')
  if (parts.length === 0) return ''
  // What follows is a paragraph or a list of its own below the item.
  return `: ${parts.join(' ').replaceAll('\n', '\n  ')}`
}
