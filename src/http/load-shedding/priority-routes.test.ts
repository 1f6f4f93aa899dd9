import assert from 'node:assert/strict'
import { test } from 'node:test'
import { PriorityRoutes } from './priority-routes.ts'

test('a path stands for itself and what is below it, not for others that begin alike', () => {
  const routes = new PriorityRoutes(['/health', '/api/status/'])
  for (const target of ['/health', '/health?full=1', '/health/db', '/api/status/', '/api/status/x']) {
    assert.equal(routes.includes(target), true, target)
  }
  for (const target of ['/', '/healthcare', '/api/health', '/api/status', '/HEALTH', '*', '']) {
    assert.equal(routes.includes(target), false, target)
  }
})

test('without any path nothing comes first', () => {
  assert.equal(new PriorityRoutes([]).includes('/health'), false)
})
