import assert from 'node:assert/strict'
import type { Profiler } from 'node:inspector'
import { test } from 'node:test'
import { sampledImports } from './boot-sampler.ts'

function node(
  id: number,
  functionName: string,
  url: string,
  lineNumber: number,
  children: number[],
): Profiler.ProfileNode {
  return { id, callFrame: { functionName, url, scriptId: '0', lineNumber, columnNumber: 0 }, children }
}

test('time counts for the innermost module whose own code is on the stack', () => {
  const profile: Profiler.Profile = {
    startTime: 0,
    endTime: 0,
    nodes: [
      node(1, '(root)', '', -1, [2, 5]),
      node(2, '', 'file:///srv/app.mjs', 0, [3]),
      node(3, 'helper', 'file:///srv/helper.mjs', 4, [4]),
      node(4, '', '/srv/inner.cjs', 0, []),
      node(5, '(program)', '', -1, []),
    ],
    samples: [3, 3, 4, 5],
    timeDeltas: [0, 100_000, 100_000, 60_000, 500_000],
  }
  assert.deepEqual(sampledImports({ ...profile, samples: [3, 3, 4, 5], timeDeltas: [0, 100_000, 100_000, 60_000] }), [
    { module: '/srv/app.mjs', selfMs: 200 },
    { module: '/srv/inner.cjs', selfMs: 60 },
  ])
  assert.deepEqual(sampledImports({ startTime: 0, endTime: 0, nodes: profile.nodes }), [])
})
