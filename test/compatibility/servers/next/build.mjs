// One build for both ways to start: `next start`, and the standalone server, which needs the static
// files beside it.
import { execFileSync } from 'node:child_process'
import { cpSync } from 'node:fs'

const env = { ...process.env, NEXT_OUTPUT: 'standalone', NEXT_TELEMETRY_DISABLED: '1' }
execFileSync('node_modules/.bin/next', ['build'], { stdio: 'inherit', env })
cpSync('.cache/next/static', '.cache/next/standalone/.cache/next/static', { recursive: true })
