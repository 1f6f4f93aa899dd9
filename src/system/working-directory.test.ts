import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { defaultStateDirectory, deploymentLink, workingDirectory } from './working-directory.ts'

describe('the working directory', () => {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'punctual-cwd-')))
  after(() => rmSync(root, { recursive: true }))
  const release = join(root, 'app/releases/7')
  const current = join(root, 'app/current')
  mkdirSync(join(release, 'packages/api'), { recursive: true })
  symlinkSync('releases/7', current)

  it('is the path with links that the shell or the command has', () => {
    assert.equal(workingDirectory({ physical: release, named: [current] }), current)
    assert.equal(workingDirectory({ physical: release, named: [undefined, join(current, 'bin/punctual')] }), current)
  })

  it('is the physical path if no other leads there', () => {
    assert.equal(workingDirectory({ physical: release, named: [root, release, 'current', undefined] }), release)
  })

  it('has a link that switches releases if that leads to a directory beside the link', () => {
    assert.equal(deploymentLink(current), current)
    assert.equal(deploymentLink(join(current, 'packages/api')), current)
    assert.equal(deploymentLink(release), null)
  })

  it('keeps state beside that link, and otherwise in itself', () => {
    assert.equal(defaultStateDirectory(current), join(root, 'app/.punctual/current'))
    assert.equal(defaultStateDirectory(join(current, 'packages/api')), join(root, 'app/.punctual/current/packages/api'))
    assert.equal(defaultStateDirectory(release), join(release, '.punctual'))
  })
})
