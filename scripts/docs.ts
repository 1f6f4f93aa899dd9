// Writes the generated pages of docs/reference; with --check it only compares, and fails if one
// differs.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { findDrift, renderPages } from './docs/pages.ts'

const root = join(import.meta.dirname, '..')

if (process.argv.includes('--check')) {
  const faults = await findDrift(root)
  for (const fault of faults) console.error(fault)
  if (faults.length > 0) process.exitCode = 1
} else {
  for (const [path, text] of await renderPages(root)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
    console.log(`wrote ${path}`)
  }
}
