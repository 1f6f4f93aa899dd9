// Runs real servers under `node` and under `punctual run`, and compares: `npm run compatibility`,
// or `npm run compatibility -- express next-start` for some. `--node=22` does it on that version of
// Node; `--write` records the results and writes the table of docs/guides/compatibility.md;
// `--at-once=3` changes how many run at the same time.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { runInTurn } from '../../scripts/in-turn.ts'
import { type NodeMajor, nodeBinary } from '../../scripts/nodes.ts'
import { SERVERS } from './servers.ts'

const ROOT = join(import.meta.dirname, '../..')

const { values, positionals } = parseArgs({
  options: {
    node: { type: 'string', default: '24' },
    write: { type: 'boolean', default: false },
    'at-once': { type: 'string', default: '2' },
  },
  allowPositionals: true,
})
const unknown = positionals.filter((name) => !SERVERS.some((server) => server.name === name))
if (unknown.length > 0) {
  console.error(`no such server: ${unknown.join(', ')}; there are ${SERVERS.map(({ name }) => name).join(', ')}`)
  process.exit(2)
}
if (!['22', '24', '26'].includes(values.node)) {
  console.error(`--node must be 22, 24 or 26, got ${values.node}`)
  process.exit(2)
}

const node = nodeBinary(Number(values.node) as NodeMajor)
// Installations and builds use the same version, too.
const PATH = [dirname(node), join(ROOT, 'node_modules/.bin'), process.env.PATH ?? ''].join(delimiter)
const scratch = mkdtempSync(join(tmpdir(), 'punctual-compatibility-'))
// Hundreds of processes load the same code: as in scripts/test.ts.
const env = { ...process.env, PATH, NODE_COMPILE_CACHE: join(scratch, 'compiled') }
const lowered = values.node === '22' ? ['--import', join(ROOT, 'scripts/lower-using.ts')] : []
const examine = join(import.meta.dirname, 'examine-all.ts')
try {
  const args = [...lowered, examine, `--at-once=${values['at-once']}`, ...(values.write ? ['--write'] : [])]
  process.exitCode = await runInTurn(node, [[...args, ...positionals]], { cwd: ROOT, stdio: 'inherit', env })
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
