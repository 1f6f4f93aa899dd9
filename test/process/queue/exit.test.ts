import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { within } from '../support/until.ts'

const APP = join(import.meta.dirname, 'apps/short-lived.ts')

async function withDirectory(work: (run: (how: string) => Promise<string>, handled: () => string) => Promise<void>) {
  const directory = mkdtempSync(join(tmpdir(), 'punctual-exit-'))
  const file = join(directory, 'handled')
  const run = (how: string): Promise<string> => {
    const child = spawn(process.execPath, [APP, join(directory, 'state'), file, how])
    let said = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        said += chunk
      })
    }
    const ended = new Promise<string>((resolve, reject) => {
      child.on('close', (code) => (code === 0 ? resolve(said) : reject(new Error(`it ended with ${code}: ${said}`))))
    })
    return within(`the script to end that goes ${how}`, ended).finally(() => child.kill('SIGKILL'))
  }
  try {
    await work(run, () => (existsSync(file) ? readFileSync(file, 'utf8') : ''))
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

test('a script that has nothing else to do delivers its items and exits', () =>
  withDirectory(async (run, handled) => {
    await run('well')
    assert.equal(handled(), '1\n2\n3\n')
  }))

for (const how of ['never', 'exit']) {
  test(`a script ${how === 'exit' ? 'that exits at once' : 'whose handler hangs'} exits, and the next one delivers its items`, () =>
    withDirectory(async (run, handled) => {
      await run(how)
      assert.equal(handled(), '')
      const events = (await run('later')).trim().split('\n')
      const [adopted] = events.map((line) => JSON.parse(line)).filter(({ type }) => type === 'adopted')
      assert.equal(adopted?.details.items, 3)
      assert.equal(handled(), '1\n2\n3\n')
    }))
}
