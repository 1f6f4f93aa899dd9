// Runs before `npm start`, `npm test` and `npm run check`, under the Node that started npm (20 or
// newer): on a fresh clone, and after a pull with other dependencies, it installs them, among them
// the repository's own Node 24. Plain JavaScript, because that older Node cannot read TypeScript.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'

const root = new URL('..', import.meta.url)

if (!existsSync(new URL('node_modules', root))) install('no node_modules here yet; installing (once, about a minute)')
else if (!isInstalled()) install('node_modules is not what package-lock.json names; installing')

/**
 * Checks the packages themselves: file times are not reliable, and an installation may have been
 * interrupted.
 */
function isInstalled() {
  const { packages } = JSON.parse(readFileSync(new URL('package-lock.json', root), 'utf8'))
  return Object.entries(packages).every(([path, { version, optional }]) => {
    if (!path.startsWith('node_modules/')) return true
    const there = versionAt(path)
    // What is optional may be for another platform; what is linked has no version of its own here.
    return there === undefined ? optional === true : version === undefined || there === version
  })
}

/** Undefined: there is no such package. */
function versionAt(path) {
  const file = new URL(`${path}/package.json`, root)
  return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).version : undefined
}

function install(why) {
  console.error(`punctual: ${why}`)
  const { status } = spawnSync('npm', ['ci', '--no-fund', '--no-audit', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  })
  process.exit(status ?? 1)
}
