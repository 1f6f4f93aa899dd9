import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { describe, it } from 'node:test'

/** The most modules of ours that an entry loads, and the modules of which it loads none. */
const ENTRIES: Readonly<Record<string, { readonly most: number; readonly without: RegExp }>> = {
  'index.ts': { most: 25, without: /^(?:postgres|sqlite|cache|queue|routes|arbiter|cli|release|settings)\// },
  'batch/index.ts': { most: 25, without: /^(?:postgres|sqlite|cache|queue|routes|http|arbiter|cli)\// },
  'runtime/index.ts': { most: 13, without: /^(?:postgres|sqlite|cache|queue|routes|http|arbiter|cli)\// },
  'routes/index.ts': { most: 35, without: /^(?:postgres|sqlite|cache|queue|arbiter|cli|release)\// },
  'testing.ts': { most: 35, without: /^(?:postgres|sqlite|cache|queue|routes|arbiter|cli|release)\// },
  'cache/index.ts': { most: 50, without: /^(?:postgres|sqlite|queue|routes|http|arbiter|cli|release)\// },
  'postgres/index.ts': { most: 60, without: /^(?:sqlite|cache|queue|routes|arbiter|cli|release)\// },
  'sqlite/index.ts': { most: 60, without: /^(?:postgres|cache|queue|routes|arbiter|cli|release)\// },
  'queue/index.ts': { most: 70, without: /^(?:postgres|sqlite|cache|routes|http|arbiter|cli|release)\// },
}
const SOURCES = new URL('.', import.meta.url).href

/** Loads an entry in a process of its own, which prints the modules that this loads. */
function loadedBy(entry: string): { readonly ours: readonly string[]; readonly builtin: readonly string[] } {
  const program = `
    import { registerHooks } from 'node:module'
    const ours = []
    const load = (url, context, next) => {
      if (url.startsWith(${JSON.stringify(SOURCES)})) ours.push(url.slice(${SOURCES.length}))
      return next(url, context)
    }
    registerHooks({ load })
    await import(${JSON.stringify(SOURCES + entry)})
    console.log(JSON.stringify({ ours, builtin: process.moduleLoadList }))`
  const printed = execFileSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    timeout: 60_000,
  })
  return JSON.parse(printed) as ReturnType<typeof loadedBy>
}

describe('the entries of the package', () => {
  for (const [entry, { most, without }] of Object.entries(ENTRIES)) {
    it(`${entry} loads only what it needs`, () => {
      const { ours } = loadedBy(entry)
      assert.deepEqual(
        ours.filter((path) => without.test(path)),
        [],
      )
      assert.ok(ours.length <= most, `${ours.length} modules:\n${ours.join('\n')}`)
    })
  }

  it('punctual does not load HTTP, which a script that only waits does not need', () => {
    const { builtin } = loadedBy('index.ts')
    assert.deepEqual(
      builtin.filter((name) => name.includes('_http_server')),
      [],
    )
  })
})
