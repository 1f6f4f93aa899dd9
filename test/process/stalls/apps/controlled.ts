import { execSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import http from 'node:http'
import { allowBlocking } from '../../../../src/index.ts'
import { slow } from './slow.ts'

/** An app whose stalls end when the test creates a file, and that runs blocking jobs. */
export let turns = 0

function spinUntilFile(): void {
  while (!existsSync(process.env.STOP_FILE ?? '')) turns++ // here: until-file
}

function spinFor(milliseconds: number): void {
  const end = performance.now() + milliseconds
  while (performance.now() < end) turns++
}

function spin(): void {
  for (;;) turns++ // here: spin
}

function waitForChild(): void {
  try {
    execSync('sleep 60')
  } catch {
    // The test ends it.
  }
}

const handlers: Readonly<Record<string, () => void>> = {
  'until-file': spinUntilFile,
  child: waitForChild,
  report: () => allowBlocking('report', '20s', () => spinFor(2_500)),
  export: () => allowBlocking('export', '1500ms', spin),
  spin,
}

const server = http.createServer(async (request, response) => {
  const path = request.url?.slice(1) ?? ''
  handlers[path]?.()
  if (path === 'hold') return
  response.end(path === 'slow' ? await slow() : String(process.pid))
})
server.listen(Number(process.env.PORT), process.env.HOST)
