import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { request } from '../../process/support/client.ts'
import { startServer, type TestServer } from '../../process/support/server.ts'

/** What a process can see of how it was started, and what its threads can. */
const APP = `
const { Worker } = require('node:worker_threads')
const seen = {
  title: process.title,
  argv0: process.argv0,
  execArgv: process.execArgv,
}
const inThread = \`
const { parentPort } = require('node:worker_threads')
parentPort.postMessage({
  execArgv: process.execArgv,
  globals: Object.getOwnPropertySymbols(globalThis).map(String),
  title: process.title,
})\`
const thread = new Promise((resolve) => new Worker(inThread, { eval: true }).once('message', resolve))
thread.then((thread) => {
  const all = JSON.stringify({ ...seen, thread })
  if (process.argv[2] === 'print') return console.log(all)
  require('node:http').createServer((request, response) => response.end(all)).listen(process.env.PORT)
})
require('express-session')
`
const FLAGS = ['--enable-source-maps', '--max-old-space-size=600']

describe('an app', () => {
  let server: TestServer
  before(async () => {
    server = await startServer({
      entry: 'app.cjs',
      files: { 'app.cjs': APP },
      // Found by PATH, as by a shell.
      node: 'node',
      nodeFlags: FLAGS,
      prepare: (directory) => {
        // Instead of the link to the packages of the repository.
        rmSync(join(directory, 'node_modules'))
        mkdirSync(join(directory, 'node_modules/express-session'), { recursive: true })
        writeFileSync(join(directory, 'node_modules/express-session/index.js'), '')
      },
      settings: { workers: 2 },
    })
  })
  after(() => server[Symbol.asyncDispose]())

  it('sees the title, the flags and the threads that it has under node', async () => {
    const args = [...FLAGS, join(server.directory.path, 'app.cjs'), 'print']
    const underNode = JSON.parse(execFileSync('node', args, { encoding: 'utf8' })) as { thread: { execArgv: string[] } }
    const seen = JSON.parse((await request(server.url)).body) as typeof underNode
    // Node lists flags of V8 although a thread does not accept them.
    underNode.thread.execArgv = underNode.thread.execArgv.filter((flag) => !flag.startsWith('--max-old-space-size'))
    assert.deepEqual(seen, underNode)
  })

  it('that keeps sessions in one of several workers gets one warning', async () => {
    const notes = server.lines.filter(({ event }) => event === 'state-in-process')
    assert.deepEqual(
      notes.map(({ level, found }) => ({ level, found })),
      [{ level: 'warn', found: ['express-session'] }],
    )
  })
})
