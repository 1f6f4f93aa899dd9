import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { isOfThisMachine, isOwnerAlive, isOwnerName, thisOwner } from './owner.ts'

test('this process is a live owner on this machine', () => {
  assert.ok(isOwnerName(thisOwner()))
  assert.ok(isOfThisMachine(thisOwner()))
  assert.ok(isOwnerAlive(thisOwner()))
  assert.equal(thisOwner(), thisOwner())
  assert.match(thisOwner(), new RegExp(`-${process.pid}-\\d+\\.[0-9a-f]{8}$`))
})

test('a process that has exited is not alive, nor is it when its pid is reused', async () => {
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

test('other names are not owners, and not alive', () => {
  for (const name of ['dead', 'aside', '', 'host-1', 'host-x-1.00000000', '../host-1-1.00000000~1']) {
    assert.ok(!isOwnerName(name), name)
    assert.ok(!isOwnerAlive(name), name)
  }
})

test('a process on another machine is not confused with one that has its pid here', () => {
  const elsewhere = thisOwner().replace(/\.[0-9a-f]{8}$/, '.00000000')
  assert.ok(!isOfThisMachine(elsewhere))
  assert.ok(!isOwnerAlive(elsewhere))
})
