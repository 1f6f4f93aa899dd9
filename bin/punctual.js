#!/usr/bin/env node
// Only syntax of Node 12 and no `node:` imports: this file must load on the versions that it
// refuses.
import fs from 'fs'

const MIN_VERSION = [22, 19]

function refusalReason() {
  const version = process.versions.node.split('.').map(Number)
  if (version[0] < MIN_VERSION[0] || (version[0] === MIN_VERSION[0] && version[1] < MIN_VERSION[1])) {
    return `requires Node.js ${MIN_VERSION.join('.')} or newer, got ${process.versions.node}`
  }
  if (process.platform === 'win32') {
    return 'does not run on Windows, which cannot share a listening socket; use WSL or a container'
  }
  return undefined
}

// `node --permission` throws where a file may not be read.
function exists(url) {
  try {
    return fs.existsSync(url)
  } catch {
    return false
  }
}

function mayNotRead() {
  const directory = decodeURIComponent(new URL('..', import.meta.url).pathname)
  if (!process.permission || process.permission.has('fs.read', directory)) return undefined
  return `under node --permission, add --allow-fs-read=${directory}`
}

function start() {
  // The repository runs the sources, the package has them compiled.
  const source = new URL('../src/cli/main.ts', import.meta.url)
  const compiled = new URL('../dist/cli/main.js', import.meta.url)
  import(exists(source) ? source.href : compiled.href)
    .then((cli) => cli.main(process.argv))
    .catch((error) => {
      process.stderr.write(`punctual: ${(error && error.stack) || error}\n`)
      process.exit(1)
    })
}

const refused = refusalReason()
const denied = refused === undefined ? mayNotRead() : undefined
if (denied !== undefined) {
  process.stderr.write(`punctual: ${denied} (PUNCTUAL_PERMISSION_MISSING)\n`)
  process.exitCode = 2
} else if (refused === undefined) start()
else {
  process.stderr.write(`punctual: ${refused} (PUNCTUAL_PLATFORM_UNSUPPORTED)\n`)
  process.exitCode = 2
}
