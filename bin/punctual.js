#!/usr/bin/env node
// Only syntax of Node 12 and no `node:` imports: this file must load on the versions that it
// refuses.
import fs from 'fs'
import v8 from 'v8'

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
  // An arbiter should stay small beside its app, under a flood of connections to the admin server
  // too: 120 MiB instead of 170. By default V8's space for new objects grows up to 64 MiB under any
  // lasting load, and the heap may grow several times before old objects are collected. It has to
  // be said before there are objects. Workers are processes of their own, for which this does not
  // apply.
  if (process.argv[2] === 'run') {
    v8.setFlagsFromString('--semi-space-growth-factor=1')
    v8.setFlagsFromString('--heap-growing-percent=20')
  }
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
