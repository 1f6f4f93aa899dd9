#!/usr/bin/env node
// No syntax newer than Node 12's, and no `node:` imports: this file must still load on the Node that it refuses.
import fs from 'fs'

const LEAST = [22, 19]

function refusal() {
  const version = process.versions.node.split('.').map(Number)
  if (version[0] < LEAST[0] || (version[0] === LEAST[0] && version[1] < LEAST[1])) {
    return `needs Node.js ${LEAST.join('.')} or newer, and this is ${process.versions.node}`
  }
  if (process.platform === 'win32') {
    return 'does not run on Windows, where a listening socket cannot be shared as it needs; use WSL or a container'
  }
  return undefined
}

function start() {
  // In the repository the sources run as they are; a package has them compiled.
  const source = new URL('../src/cli/main.ts', import.meta.url)
  const compiled = new URL('../dist/cli/main.js', import.meta.url)
  import(fs.existsSync(source) ? source.href : compiled.href)
    .then((cli) => cli.main(process.argv))
    .catch((error) => {
      process.stderr.write(`punctual: ${(error && error.stack) || error}\n`)
      process.exit(1)
    })
}

const refused = refusal()
if (refused === undefined) start()
else {
  process.stderr.write(`punctual: ${refused} (PUNCTUAL_PLATFORM_UNSUPPORTED)\n`)
  process.exitCode = 2
}
