import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { libpqAddress } from './libpq-url.ts'

describe('the address for the programs of PostgreSQL', () => {
  it('has no password in it: that goes by the environment', () => {
    const { url, env } = libpqAddress('postgres://app:p%40ss%20word@db:5433/shop?application_name=x')
    assert.equal(url, 'postgres://app@db:5433/shop?application_name=x')
    assert.equal(env.PGPASSWORD, 'p@ss word')
  })

  it('has only words that libpq knows', () => {
    const { url, env } = libpqAddress('postgres://db/shop?sslmode=no-verify&uselibpqcompat=true&ssl=true')
    assert.equal(url, 'postgres://db/shop?sslmode=require')
    assert.equal(env.PGPASSWORD, undefined)
  })
})
