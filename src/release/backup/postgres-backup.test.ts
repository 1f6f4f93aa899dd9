import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { libpqAddress } from './postgres-backup.ts'

describe('libpqAddress', () => {
  it('moves the password into the environment', () => {
    const { url, env } = libpqAddress('postgres://app:p%40ss%20word@db:5433/shop?target_session_attrs=any')
    assert.equal(url, 'postgres://app@db:5433/shop?target_session_attrs=any')
    assert.equal(env.PGPASSWORD, 'p@ss word')
  })

  it('keeps only parameters that libpq accepts', () => {
    const { url, env } = libpqAddress('postgres://db/shop?sslmode=no-verify&uselibpqcompat=true&ssl=true')
    assert.equal(url, 'postgres://db/shop?sslmode=require')
    assert.equal(env.PGPASSWORD, undefined)
  })

  it('separates the options of the session, and encodes a space as %20', () => {
    const { url, options } = libpqAddress(
      'postgres://db/shop?application_name=shop&options=-c%20search_path%3Dapp&passfile=%2Fetc%2Four%20own',
    )
    assert.equal(url, 'postgres://db/shop?passfile=%2Fetc%2Four%20own')
    assert.equal(options, '-c search_path=app')
  })
})
