import assert from 'node:assert/strict'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { describe, it } from 'node:test'
import { libpqAddress, withLibpqAddress } from './libpq-address.ts'

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

  it('moves secret parameters out of the URL, the password before that in front of the host', () => {
    const { url, env, service } = libpqAddress('postgres://app:other@db/shop?password=p%20w&sslpassword=s%3Dw&sslkey=k')
    assert.equal(url, 'postgres://app@db/shop?sslkey=k')
    assert.equal(env.PGPASSWORD, 'p w')
    assert.deepEqual(service, ['sslpassword=s=w'])
  })
})

describe('withLibpqAddress', () => {
  it('writes what has no variable to a file for this user, and removes it', async () => {
    let path = ''
    await withLibpqAddress('postgres://app@db/shop?sslpassword=pw', async ({ env }) => {
      path = env.PGSERVICEFILE ?? ''
      assert.equal(readFileSync(path, 'utf8'), `[${env.PGSERVICE}]\nsslpassword=pw\n`)
      assert.equal(statSync(path).mode & 0o077, 0)
    })
    assert.equal(existsSync(path), false)
  })

  it('is refused besides a service of its own', async () => {
    await assert.rejects(
      withLibpqAddress('postgres://db/shop?service=own&sslpassword=pw', async () => {}),
      {
        details: { phase: 'backup', reason: 'service-file' },
      },
    )
  })
})
