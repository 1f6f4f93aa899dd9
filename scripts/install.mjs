// Runs before `npm start`, `npm test` and `npm run check`, under whatever Node started npm (20 or newer): on a fresh
// clone it installs the dependencies, among them the repository's own Node 24. Plain JavaScript, because that older
// Node cannot read TypeScript. Not `npm ci`: that fails wherever a registry lacks the binary of a platform nobody here has.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

const root = new URL('..', import.meta.url)
if (!existsSync(new URL('node_modules/.package-lock.json', root))) {
  console.error('punctual: no node_modules here yet; installing (once, about a minute)')
  const { status } = spawnSync('npm', ['install', '--no-save', '--no-fund', '--no-audit', '--loglevel=error'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  })
  process.exit(status ?? 1)
}
