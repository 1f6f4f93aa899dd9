import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

const ROOT = join(import.meta.dirname, '../../..')

/**
 * A new directory with an app that can import the packages of the repository (Fastify, `ws`, …).
 */
export interface AppDirectory extends Disposable {
  readonly path: string
  /** Writes files by their path relative to the directory. */
  write(files: Readonly<Record<string, string>>): void
  remove(): void
}

export function createAppDirectory(files: Readonly<Record<string, string>>): AppDirectory {
  const path = mkdtempSync(join(tmpdir(), 'punctual-test-'))
  const write = (more: Readonly<Record<string, string>>): void => {
    for (const [name, text] of Object.entries(more)) {
      mkdirSync(dirname(join(path, name)), { recursive: true })
      writeFileSync(join(path, name), text)
    }
  }
  const remove = (): void => rmSync(path, { recursive: true, force: true })
  write({ 'package.json': '{ "type": "module" }\n', ...files })
  symlinkSync(join(ROOT, 'node_modules'), join(path, 'node_modules'))
  return { path, write, remove, [Symbol.dispose]: remove }
}
