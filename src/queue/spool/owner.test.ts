import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { isOfThisMachine, isOwnerAlive, isOwnerName, thisOwner } from './owner.ts'

test('this process is an owner of this machine that is alive', () => {
  assert.ok(isOwnerName(thisOwner()))
  assert.ok(isOfThisMachine(thisOwner()))
  assert.ok(isOwnerAlive(thisOwner()))
  assert.equal(thisOwner(), thisOwner())
  assert.match(thisOwner(), new RegExp(`-${process.pid}-\\d+\\.[0-9a-f]{8}$`))
})

test('a process that has ended is not alive, and neither is another one with its pid', async () => {
  const program = `import(${JSON.stringify(new URL('./owner.ts', import.meta.url).href)}).then(({ thisOwner }) => console.log(thisOwner()));process.stdin.resume()`
  const child = spawn(process.execPath, ['-e', program], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [said] = (await once(child.stdout.setEncoding('utf8'), 'data')) as [string]
  const owner = said.trim()
  assert.ok(isOwnerAlive(owner))
  assert.ok(!isOwnerAlive(owner.replace(/-\d+\.([0-9a-f]+)$/, '-1.$1')), 'it started at another time')
  child.stdin.end()
  await once(child, 'exit')
  assert.ok(!isOwnerAlive(owner))
})

test('what is no owner is not alive, and no name of one', () => {
  for (const name of ['dead', 'aside', '', 'host-1', 'host-x-1.00000000', '../host-1-1.00000000~1']) {
    assert.ok(!isOwnerName(name), name)
    assert.ok(!isOwnerAlive(name), name)
  }
})

test('a process of another machine is not taken for the one that has its pid here', () => {
  const elsewhere = thisOwner().replace(/\.[0-9a-f]{8}$/, '.00000000')
  assert.ok(!isOfThisMachine(elsewhere))
  assert.ok(!isOwnerAlive(elsewhere))
})
