import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isHostAllowed } from './admin-host-check.ts'

test('addresses, localhost and the bound host are answered: a kubelet asks by the address of the pod', () => {
  for (const host of [
    '127.0.0.1',
    '127.0.0.1:9464',
    '10.1.2.3:9464',
    '[::1]:9464',
    '[fe80::1]',
    'localhost',
    'LOCALHOST:9464',
    'localhost.:1',
    'app.localhost:1',
    'admin.internal:9464',
    '',
    undefined,
  ]) {
    assert.equal(isHostAllowed(host, 'admin.internal'), true, String(host))
  }
})

test('a name of somebody else’s is not: it may be a page that had its own name point here', () => {
  for (const host of [
    'evil.example',
    'evil.example:9464',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    'notlocalhost',
    'a@127.0.0.1',
    '127.0.0.1:9464/x',
    '[evil]:1',
    ' ',
    '127.1',
    '0x7f000001',
    'a b',
  ]) {
    assert.equal(isHostAllowed(host, '127.0.0.1'), false, host)
  }
})

test('bound to every address, a server is meant to be found under any name', () => {
  for (const bound of ['0.0.0.0', '::']) assert.equal(isHostAllowed('prometheus-target.svc:9464', bound), true)
})
