import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { makeDirectory, makeDirectorySync } from './make-directory.ts'

for (const [name, make] of [
  ['makeDirectory', makeDirectory],
  ['makeDirectorySync', async (path: string) => makeDirectorySync(path)],
] as const) {
  describe(name, () => {
    const inTemporary = async (run: (root: string) => Promise<void>): Promise<void> => {
      const root = mkdtempSync(join(tmpdir(), 'punctual-make-'))
      await run(root).finally(() => rmSync(root, { recursive: true }))
    }

    it('makes a directory with its parents, for this user only, also concurrently', () =>
      inTemporary(async (root) => {
        const path = join(root, 'a/b/c')
        await Promise.all([make(path), make(path), make(join(root, 'a/b/d'))])
        await make(path)
        for (const made of ['a', 'a/b', 'a/b/c']) assert.equal(statSync(join(root, made)).mode & 0o777, 0o700)
      }))

    it('fails with the error of the file system', () =>
      inTemporary(async (root) => {
        writeFileSync(join(root, 'file'), '')
        await assert.rejects(make(join(root, 'file')), { code: 'EEXIST' })
        await assert.rejects(make(join(root, 'file/below')), { code: 'ENOTDIR' })
      }))

    it('ends where no directory can be made', { skip: process.platform !== 'linux' }, async () => {
      await assert.rejects(make('/proc/punctual/state'), (error: NodeJS.ErrnoException) => error.code !== undefined)
    })
  })
}
