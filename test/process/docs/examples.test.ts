import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'

const GUIDES = join(import.meta.dirname, '../../../docs/guides')
const HOOK = join(import.meta.dirname, 'hook.mjs')
/** Pages whose examples run as they are. */
const PAGES = ['stalls.md', 'waits.md']

interface Run {
  readonly code: number
  readonly printed: string
  readonly errors: string
}

function run(file: string): Promise<Run> {
  return new Promise((resolve) => {
    execFile(process.execPath, ['--import', HOOK, file], { timeout: 60_000 }, (error, printed, errors) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), printed, errors })
    })
  })
}

for (const page of PAGES) {
  const examples = [...readFileSync(join(GUIDES, page), 'utf8').matchAll(/^```ts\n(.*?)^```$/gms)]
  describe(`the examples of ${page}`, { concurrency: true }, () => {
    for (const [index, [, code = '']] of examples.entries()) {
      it(`example ${index + 1} prints what its comments say`, async () => {
        const directory = mkdtempSync(join(tmpdir(), 'punctual-docs-'))
        try {
          const file = join(directory, 'example.ts')
          writeFileSync(file, code)
          const { code: exitCode, printed, errors } = await run(file)
          assert.equal(exitCode, 0, errors)
          for (const [, expected = ''] of code.matchAll(/^console\.log\(.*\) \/\/ (.*)$/gm)) {
            assert.ok(printed.split('\n').includes(expected), `"${expected}" in:\n${printed}${errors}`)
          }
        } finally {
          rmSync(directory, { recursive: true })
        }
      })
    }
  })
}
