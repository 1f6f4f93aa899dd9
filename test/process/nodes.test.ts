import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { describe, it } from 'node:test'
import { type NodeMajor, nodeBinary } from '../../scripts/nodes.ts'

describe('nodeBinary', () => {
  for (const major of [22, 24, 26] satisfies NodeMajor[]) {
    it(`Node ${major} is there, and is what it says`, () => {
      const version = execFileSync(nodeBinary(major), ['--version'], { encoding: 'utf8', timeout: 30_000 })
      assert.match(version, new RegExp(`^v${major}\\.`))
    })
  }
})
