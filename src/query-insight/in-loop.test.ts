import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { isInLoop } from './in-loop.ts'

/** Examines the place that `QUERY` marks. */
function inLoop(source: string): boolean {
  const before = source.slice(0, source.indexOf('QUERY')).split('\n')
  return isInLoop(source, before.length, (before.at(-1)?.length ?? 0) + 1)
}

describe('a place in a loop', () => {
  const repeated: Readonly<Record<string, string>> = {
    'for of': 'async function f(rows) { for (const row of rows) { row.x = await QUERY(row) } }',
    'for of without braces': 'for (const row of rows) row.x = await QUERY(row)',
    'for of over lines': 'for (const row of rows)\n  row.x =\n    await QUERY(row)',
    'for await': 'for await (const row of rows) {\n  await QUERY(row)\n}',
    'for with a counter': 'for (let i = 0; i < 10; i++) {\n  if (i > 2) { await QUERY(i) }\n}',
    while: 'while (left) { left = await QUERY() }',
    'the condition of while': 'while (await QUERY()) {}',
    'do while': 'do { x = await QUERY() } while (x)',
    'map with an expression': 'await Promise.all(rows.map((row) => QUERY(row)))',
    'map with a body':
      'const a = await Promise.all(\n  rows.map(async (row) => {\n    return { ...row, x: await QUERY(row.id) }\n  }),\n)',
    'map with an object': 'rows.map(async (row) => ({ ...row, x: await QUERY(row) }))',
    'map with a function': 'rows.map(async function (row) { return QUERY(row) })',
    'optional forEach': 'rows?.forEach((row) => { void QUERY(row) })',
    'a callback in a loop': 'for (const row of rows) { await limit(async () => { await QUERY(row) }) }',
    'a callback in map': 'rows.map((row) => limit(() => QUERY(row)))',
    'behind strings, templates and regular expressions':
      "const a = '}'; const b = `}$" +
      "{c ? `{` : '}'}`; const d = /[/}]/.test(x)\nfor (const row of rows) { await QUERY(row) }",
    'in a method with a type':
      'class A { async f(rows: Row[]): Promise<Row[]> { for (const r of rows) { await QUERY(r) } } }',
    'try in a loop': 'for (const r of rows) { try { await QUERY(r) } catch {} }',
  }
  for (const [name, source] of Object.entries(repeated))
    test(`is detected: ${name}`, () => assert.equal(inLoop(source), true))
})

describe('a place outside of a loop', () => {
  const once: Readonly<Record<string, string>> = {
    'what for iterates over': 'for (const row of await QUERY()) { use(row) }',
    'after a loop': 'for (const row of rows) { use(row) }\nawait QUERY()',
    'after a loop without braces': 'for (const row of rows) use(row)\nawait QUERY()',
    'after a loop and a semicolon': 'for (const row of rows) use(row); await QUERY()',
    'after a loop without braces that has a call over lines':
      'for (const row of rows)\n  use(\n    row,\n  )\nreturn QUERY()',
    'a function in a loop that is called elsewhere': 'for (const r of rows) { function f() { return QUERY(r) } }',
    'a function beside a loop':
      'const f = async (id) => {\n  return QUERY(id)\n}\nfor (const row of rows) await f(row)',
    'a handler': "app.get('/x', async (request, reply) => { reply.send(await QUERY()) })",
    'a method': 'class A { async load(id: string): Promise<Row | null> { return QUERY(id) } }',
    'what is mapped': 'const a = (await QUERY()).map((row) => row.id)',
    'a map that is not a method': 'map(QUERY())',
    'after map': 'rows.map((row) => row.id); await QUERY()',
  }
  for (const [name, source] of Object.entries(once))
    test(`is not detected: ${name}`, () => assert.equal(inLoop(source), false))
})
