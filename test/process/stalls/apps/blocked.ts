import { execSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import { slow } from './slow.ts'

/** An app whose handlers block in calls that cannot be interrupted, or hardly. */
function waitOnMemory(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0) // here: memory
}

function waitForChild(): void {
  execSync('sleep 60') // here: child
}

function readPipe(): void {
  readFileSync(process.env.PIPE ?? '') // here: pipe
}

const blocks: Readonly<Record<string, () => void>> = { memory: waitOnMemory, child: waitForChild, pipe: readPipe }

const server = http.createServer(async (request, response) => {
  const path = request.url?.slice(1) ?? ''
  blocks[path]?.()
  response.end(path === 'slow' ? await slow() : 'ok')
})
server.listen(Number(process.env.PORT), process.env.HOST)
