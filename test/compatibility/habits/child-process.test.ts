import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startServer } from '../../process/support/server.ts'

const SERVER = `
import http from 'node:http'
http.createServer((request, response) => response.end('ok')).listen(process.env.PORT)
`
const LAUNCHER = `
import { spawn } from 'node:child_process'
spawn(process.execPath, ['server.mjs', '--production'], { cwd: import.meta.dirname, stdio: 'inherit' })
`

test('an entry that starts the server in a child process fails to boot with the command of the child', async () => {
  await using server = await startServer({
    files: { 'app.mjs': `${LAUNCHER}.on('exit', (code) => process.exit(code))`, 'server.mjs': 'process.exit(4)' },
    settings: { workers: 1 },
    ready: false,
  })
  assert.equal((await server.exit).code, 3)
  assert.ok(server.output.includes('server.mjs --production'), server.output)
})

test('an app may start child processes before it listens', async () => {
  await using server = await startServer({
    files: { 'app.mjs': `${LAUNCHER}${SERVER}`, 'server.mjs': 'process.exit(4)' },
    settings: { workers: 1 },
  })
  assert.equal(server.output.includes('server.mjs'), false, server.output)
})
