import assert from 'node:assert/strict'
import net, { type AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { type NodeMajor, nodeBinary } from '../../../scripts/nodes.ts'
import type { Incident } from '../../../src/diagnostics/incident.ts'
import { assertOneMessage, assertShows, runToEnd } from './ended-run.ts'

interface Case {
  readonly what: string
  readonly files: Readonly<Record<string, string>>
  readonly settings?: Readonly<Record<string, string | number>>
  /** What the message must show of the app's own error. */
  readonly shows?: readonly RegExp[]
  /** The incident that is recorded. */
  readonly incident?: Partial<Incident>
}

const COMMON_JS = '{ "type": "commonjs" }'

const CASES: readonly Case[] = [
  {
    what: 'that throws',
    files: { 'app.ts': 'const limit: number = 3\nthrow new TypeError("no database " + limit)\n' },
    shows: [/^punctual: TypeError: no database 3$/m, /app\.ts:2:7/],
  },
  {
    what: 'with a syntax error in CommonJS',
    files: { 'app.cjs': 'const a = 1\nfunction (\n' },
    shows: [/^punctual: .*app\.cjs:2$/m, /SyntaxError/],
  },
  {
    what: 'with a syntax error in an ES module',
    files: { 'app.mjs': 'import "node:http"\nlet y = ;\n' },
    shows: [/^punctual: .*app\.mjs:2$/m, /^let y = ;$/m, /SyntaxError/],
  },
  {
    what: 'with a syntax error in TypeScript',
    files: { 'app.ts': 'const a: number = 1\nexport default function (req {\n' },
    shows: [/^punctual: .*app\.ts:\d+$/m, /SyntaxError/],
  },
  {
    what: 'with a syntax error in a module it imports',
    files: { 'app.ts': 'import "./routes/all.js"\n', 'routes/all.js': '\n\nexport const = 3\n' },
    shows: [/^punctual: .*routes\/all\.js:3$/m, /SyntaxError/],
  },
  {
    what: 'that rejects at its top level',
    files: { 'app.mjs': 'await Promise.reject(new Error("no cache"))\n' },
    shows: [/^punctual: Error: no cache$/m, /app\.mjs:1:/],
  },
  {
    what: 'that leaves a rejection unhandled',
    files: {
      'app.js': 'Promise.reject(new Error("no queue"))\nsetInterval(() => {}, 1000)\n',
      'package.json': COMMON_JS,
    },
    shows: [/^punctual: Error: no queue$/m, /app\.js:1:/],
  },
  {
    what: 'that throws what is no error',
    files: { 'app.js': 'throw "nothing works"\n' },
    shows: [/nothing works/],
  },
  {
    what: 'that imports what is not there',
    files: { 'app.mjs': 'import "./missing.mjs"\n' },
    shows: [/Cannot find module .*missing\.mjs' imported from .*app\.mjs/],
  },
  {
    what: 'that never listens',
    files: { 'app.js': 'setInterval(() => {}, 1000)\n' },
    settings: { bootTimeout: '1s' },
    incident: { outcome: 'killed' },
  },
  {
    what: 'whose process ends before it listens',
    files: { 'app.js': 'globalThis.done = true\n' },
    incident: { outcome: 'exited', exit: { code: 0, signal: null } },
  },
  {
    what: 'that exits while it loads',
    files: { 'app.js': 'process.exit(7)\n' },
    incident: { outcome: 'exited', exit: { code: 7, signal: null } },
  },
]

describe('a first generation that cannot boot ends with exit code 3, one message with the boot error, and no processes', () => {
  for (const { what, shows = [], incident = {}, ...options } of CASES) {
    it(`an app ${what}`, async () => {
      const run = await runToEnd({ ...options, settings: { workers: 2, ...options.settings } })
      const { message, server } = run
      assert.equal(run.code, 3, server.output)
      assertOneMessage(message)
      assert.equal(run.errorCode, 'PUNCTUAL_BOOT_FAILED', message)
      for (const pattern of shows) assert.match(message, pattern)
      assert.partialDeepStrictEqual(run.incidents[0], { kind: 'boot', ...incident })
      const errors = server.lines.filter(({ level, outcome }) => level === 'error' && outcome !== 'killed')
      assert.ok(errors.length <= 2, server.output)
    })
  }

  it('an app whose port is in use gets an error with the port and the flag to change', async () => {
    const holder = net.createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => holder.once('listening', resolve))
    const { port } = holder.address() as AddressInfo
    try {
      const { code, message, errorCode, incidents, server } = await runToEnd({
        files: { 'app.js': 'import http from "node:http"\nhttp.createServer().listen(process.env.PORT)\n' },
        settings: { workers: 2, port },
      })
      assert.equal(code, 3, server.output)
      assertOneMessage(message)
      assert.equal(errorCode, 'PUNCTUAL_BOOT_FAILED', message)
      assert.equal(incidents[0]?.error?.code, 'EADDRINUSE')
      assertShows(message, ['EADDRINUSE', `:${port}`, '--port'])
    } finally {
      holder.close()
    }
  })

  for (const major of [22, 26] satisfies NodeMajor[]) {
    it(`Node ${major} shows file and line of a syntax error`, async () => {
      const { code, message } = await runToEnd({
        files: {
          'app.ts': 'import "./routes.ts"\n',
          'routes.ts': 'export const a: string = "x"\nexport const b = ;\n',
        },
        node: nodeBinary(major),
      })
      assert.equal(code, 3)
      assertOneMessage(message)
      assert.match(message, /^punctual: .*routes\.ts:2$/m)
    })
  }
})
