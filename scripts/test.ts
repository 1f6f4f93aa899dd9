// Runs the tests: `npm test`, `npm run test:unit`, `npm run test:process -- stalls`, `npm test --
// src/settings --test-name-pattern=…`. An argument is a file, a folder, or a part of a path.
// `--in=src,scripts` searches only there; `--node=22` runs the tests and the servers that they
// start on that version of Node. Also fails if a process that a test started is still running.
import { randomUUID } from 'node:crypto'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { runInTurn } from './in-turn.ts'
import { type LeftProcess, processesWith } from './left-behind.ts'
import { type NodeMajor, nodeBinary } from './nodes.ts'

const ROOT = join(import.meta.dirname, '..')
const PLACES = 'src,scripts,examples,test'
/** For a test file. A single wait in a test has its own, shorter timeout. */
const FILE_TIMEOUT = '--test-timeout=600000'
/** Time for a process to exit before it counts as left behind. */
const GRACE = 3_000

// Every `punctual` that a test starts inherits it, so it must not look like a setting.
const MARKER = `PUNCTUAL__TEST_RUN=${randomUUID()}`
const [markerName = '', markerValue = ''] = MARKER.split('=')

const flags = process.argv.slice(2).filter((argument) => argument.startsWith('--test-'))
const { values, positionals } = parseArgs({
  args: process.argv.slice(2).filter((argument) => !flags.includes(argument)),
  options: { in: { type: 'string', default: PLACES }, node: { type: 'string', default: '24' } },
  allowPositionals: true,
})
if (!['22', '24', '26'].includes(values.node)) {
  console.error(`--node must be 22, 24 or 26, got ${values.node}`)
  process.exit(2)
}
const node = nodeBinary(Number(values.node) as NodeMajor)
/** Servers and tools that tests install from npm have tests of their own. */
const isOurs = (file: string): boolean => !file.includes('node_modules')
const all = values.in
  .split(',')
  .flatMap((place) => globSync(`${place}/**/*.test.ts`, { cwd: ROOT }))
  .filter(isOurs)
const files = positionals.length === 0 ? all : all.filter((file) => positionals.some((part) => file.includes(part)))
if (files.length === 0) {
  console.error(`no test files in ${values.in} match ${positionals.join(' ')}`)
  process.exit(2)
}

/**
 * The files run in these parts, one after the other. A file mostly waits for processes, so more run
 * at once than there are cores on a small machine, but fewer where hundreds of milliseconds are
 * measured, and only one where it uses all cores or compares durations.
 */
const ALONE = /^test\/process\/(?:stalls\/interrupt|waits\/load-shedding)\./
const CALM = /^test\/process\/(?:stalls|waits)\//
const PARTS: readonly { readonly name: string; readonly atOnce: number; has(file: string): boolean }[] = [
  { name: 'together', atOnce: 6, has: (file) => !CALM.test(file) },
  { name: 'in pairs', atOnce: 2, has: (file) => CALM.test(file) && !ALONE.test(file) },
  { name: 'alone', atOnce: 1, has: (file) => ALONE.test(file) },
]
const scratch = mkdtempSync(join(tmpdir(), 'punctual-test-run-'))
const code = await runAll()
printFailures()
const left = await leftBehind()
for (const { pid, command } of left) {
  console.error(`left behind by a test: ${pid} ${command.slice(0, 200)}`)
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended by itself meanwhile.
  }
}
rmSync(scratch, { recursive: true, force: true })
process.exitCode = code === 0 && left.length > 0 ? 1 : code

/** The exit code of the first run that failed. */
function runAll(): Promise<number> {
  const sorted = files.toSorted()
  const parts = PARTS.flatMap(({ name, atOnce, has }) => testing(name, sorted.filter(has), atOnce))
  const PATH = [dirname(node), join(ROOT, 'node_modules/.bin'), process.env.PATH ?? ''].join(delimiter)
  // Hundreds of processes load the same TypeScript. With the cache one strips and compiles it for
  // all, which saves two thirds of the CPU time of a start.
  const NODE_COMPILE_CACHE = join(scratch, 'compiled')
  const env = { ...process.env, [markerName]: markerValue, PATH, NODE_COMPILE_CACHE }
  return runInTurn(node, parts, { cwd: ROOT, stdio: 'inherit', env })
}

/** Repeats the failures of all parts at the end of a long output. */
function printFailures(): void {
  for (const { name } of PARTS) {
    const path = join(scratch, name)
    const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
    if (text !== '') console.error(`\nfailed of the files that run ${name}:\n\n${text}`)
  }
}

/** The arguments for Node of one run; none if there is nothing to test. */
function testing(name: string, chosen: readonly string[], atOnce: number): readonly (readonly string[])[] {
  if (chosen.length === 0) return []
  const reporters = [
    ['spec', 'stdout'],
    [join(import.meta.dirname, 'failures-reporter.ts'), join(scratch, name)],
  ].flatMap(([reporter, to]) => [`--test-reporter=${reporter}`, `--test-reporter-destination=${to}`])
  // Node 22 does not parse `await using`, in which tests are written.
  const lowered = values.node === '22' ? ['--import', join(import.meta.dirname, 'lower-using.ts')] : []
  return [[...lowered, '--test', `--test-concurrency=${atOnce}`, FILE_TIMEOUT, ...reporters, ...flags, ...chosen]]
}

async function leftBehind(): Promise<readonly LeftProcess[]> {
  if (!existsSync('/proc/self/environ')) {
    console.error('no /proc here: whether a test left a process behind is not checked')
    return []
  }
  const end = Date.now() + GRACE
  let found = processesWith(MARKER)
  while (found.length > 0 && Date.now() < end) {
    await sleep(100)
    found = processesWith(MARKER)
  }
  return found
}
