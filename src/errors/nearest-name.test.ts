import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { nearestName } from './check-options.ts'

const names = ['workers', 'stallInterruptAfter', 'stallKillAfter', 'port', 'adminPort']

describe('nearestName', () => {
  it('one edit of any kind is found', () => {
    assert.equal(nearestName('worker', names), 'workers')
    assert.equal(nearestName('workerss', names), 'workers')
    assert.equal(nearestName('wurkers', names), 'workers')
    assert.equal(nearestName('wrokers', names), 'workers')
  })

  it('the nearest of several is chosen, and case does not count', () => {
    assert.equal(nearestName('STALLKILAFTER', names), 'stallKillAfter')
    assert.equal(nearestName('stallInteruptAftr', names), 'stallInterruptAfter')
    assert.equal(nearestName('prot', names), 'port')
  })

  it('nothing is suggested for a name that is not similar', () => {
    assert.equal(nearestName('database', names), undefined)
    assert.equal(nearestName('x', names), undefined)
    assert.equal(nearestName('', names), undefined)
  })
})
