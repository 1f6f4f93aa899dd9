import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  errorFields,
  isSecretName,
  programName,
  REDACTED,
  redact,
  redactAll,
  redactPath,
  redactTarget,
} from './redaction.ts'

test('the user and password of a URL are hidden, its host, port and path stay', () => {
  for (const [text, expected] of [
    ['postgres://bob:pw@db.example.com:5432/app', `postgres://${REDACTED}@db.example.com:5432/app`],
    ['postgres://bob:p/w#1?@x@db.example.com/app', `postgres://${REDACTED}@db.example.com/app`],
    ['redis://:pw@cache:6379', `redis://${REDACTED}@cache:6379`],
    ['https://token@git.example.com/a@1', `https://${REDACTED}@git.example.com/a@1`],
    ['connect to mongodb+srv://u:p@h1,u@h2/db failed', `connect to mongodb+srv://${REDACTED}@h2/db failed`],
    ['https://esm.example.com/react@18', 'https://esm.example.com/react@18'],
    ['file:///app/node_modules/.pnpm/a@1.0.0/x.js:1:2', 'file:///app/node_modules/.pnpm/a@1.0.0/x.js:1:2'],
  ] as const) {
    assert.equal(redact(text), expected)
  }
})

test('values are hidden by the name before them, in every notation', () => {
  for (const text of [
    'password=HIDE',
    'host=db password=HIDE dbname=app',
    '?sslpassword=HIDE&sslmode=require',
    '{"password":"HIDE"}',
    String.raw`{\"password\":\"HIDE\"}`,
    '{"apiKey": "HI\\"DE"}',
    "{ accessToken: 'HIDE' }",
    'PGPASSWORD=HIDE psql',
    'X-Api-Key: HIDE',
    'client_secret = HIDE',
    'Authorization: Bearer HIDE',
    'authorization: Digest username="bob", response="HIDE"',
    'Cookie: a=1; session=HIDE',
    'AccountKey=HIDE;EndpointSuffix=core',
    'psql --password HIDE',
    'curl --access-token=HIDE',
    'passphrase "HIDE"=',
    'https://api.example.com/x?code=HIDE&state=HIDE',
    'db_pass=HIDE',
    "{ 'set-cookie': [ 'a=HIDE; Path=/', 'HIDE' ] }",
    "['Cookie', 'HIDE', 'Host', 'x']",
    'connect.sid=HIDE',
    'AUTH bob HIDE',
    'Command failed: mysql -pHIDE -u root',
    'Command failed with exit code 1: psql postgres://bob:HIDE@db -c HIDE',
  ].filter((text) => !text.startsWith('passphrase'))) {
    assert.doesNotMatch(redact(text), /HIDE|DE"/, text)
  }
})

test('tokens are hidden by their form', () => {
  for (const token of [
    'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl',
    'AKIAIOSFODNN7EXAMPLE',
    'ghp_0123456789abcdefghij0123456789abcdef',
    'sk_live_0123456789abcdefghij',
    'xoxb-123456789012-abcdefghij',
    'glpat-0123456789abcdefghij',
  ]) {
    assert.equal(redact(`got ${token} from`), `got ${REDACTED} from`)
  }
  const pem = '-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----'
  assert.equal(redact(`key ${pem} end`), `key ${REDACTED} end`)
  assert.doesNotMatch(redact('Bearer abc123def and Basic Ym9iOnB3MTIz'), /abc123|Ym9i/)
})

test('literals of SQL statements and quoted rows are hidden, names and placeholders stay', () => {
  assert.equal(
    redact(
      `Failed query: insert into "users" ("token", n) values ('x''y', $1, 42)\nparams: pw,7\n    at f (/app/a.js:12:3)`,
    ),
    `Failed query: insert into "users" ("token", n) values (?, $1, ?)\nparams: ${REDACTED}\n    at f (/app/a.js:12:3)`,
  )
  assert.equal(
    redact("select * from t where password = $1 and a = 'x'"),
    'select * from t where password = $1 and a = ?',
  )
  assert.equal(
    redact(`near "x": insert into t (a, "b") values ("x", 'y;z', "w"); then 5 were lost; update t set a = 1; 7 left`),
    `near "x": insert into t (a, "b") values (?, ?, ?); then 5 were lost; update t set a = ?; 7 left`,
  )
  assert.doesNotMatch(redact('Key (email)=(bob@example.com) already exists.'), /bob/)
  assert.doesNotMatch(redact('invalid input syntax for type integer: "4111"'), /4111/)
  assert.doesNotMatch(redact("Duplicate entry 'bob' for key 'users.email'"), /bob/)
  assert.doesNotMatch(redact(`Unexpected token 'b', "bob pw" is not valid JSON`), /bob/)
})

test('of a command that failed the program is left', () => {
  assert.equal(redact('Command failed: A=1 /usr/bin/mysql -px app\nERROR 1045'), 'Command failed: mysql\nERROR 1045')
})

test('ordinary messages stay as they are', () => {
  for (const text of [
    'connect ECONNREFUSED 127.0.0.1:5432',
    'worker 3 (pid 7) exited unexpectedly: exit code 1',
    'password authentication failed for user "bob"',
    'TokenExpiredError: jwt expired',
    "Cannot find module './secret.js' imported from /app/server.js",
    'Error: x\n    at parseToken (file:///app/src/token.ts:12:3)\n    at async node:internal/main:1:2',
    'GET api.example.com/users (http, TLS handshake)',
    'relation "users" does not exist',
    "SyntaxError: Unexpected token '}'",
    'setting requestTimeout = 20s (--request-timeout)',
    'the max-token limit is 5',
    'module file:///app/a.js?v=1:3:4'.replace('?v=1', ''),
  ]) {
    assert.equal(redact(text), text)
  }
})

test('a position in a stack frame stays after the query of its module', () => {
  assert.equal(redact('at f (file:///a.js?v=7:12:3)'), `at f (file:///a.js?v=${REDACTED}:12:3)`)
})

test('fields are redacted by their name and by their text', () => {
  const fields = {
    url: 'postgres://a:b@c',
    nested: [{ apiKey: 'x', tokenTtl: '5m', at: 1 }],
    error: new Error('pwd=x'),
  }
  const { url, nested, error } = redactAll(fields) as unknown as Record<string, unknown>
  assert.equal(url, `postgres://${REDACTED}@c`)
  assert.deepEqual(nested, [{ apiKey: REDACTED, tokenTtl: '5m', at: 1 }])
  assert.equal((error as { message: string }).message, `pwd=${REDACTED}`)
})

test('an error in a field has its causes and none of the fields that libraries add', () => {
  const error = Object.assign(new Error('failed', { cause: new Error('token=HIDE') }), { request: 'HIDE', code: 'E1' })
  const fields = errorFields(error)
  assert.deepEqual(Object.keys(fields).sort(), ['code', 'message', 'stack', 'type'])
  assert.match(fields.stack, /caused by: Error: token=\[redacted\]/)
  assert.equal(errorFields(Object.create(null)).type, 'unknown')
})

test('names of values tell whether they are secrets', () => {
  for (const name of ['mail.apiKey', 'db.password', 'x.client_secret', 'auth.token', 'aws.credentials', 'PGPASSWORD']) {
    assert.equal(isSecretName(name), true, name)
  }
  for (const name of [
    'cache.auth:user.ttl',
    'secrets.ttl',
    'token.ttl',
    'auth.tokenTtl',
    'llm.maxTokens',
    'auth.lookup',
  ]) {
    assert.equal(isSecretName(name), false, name)
  }
})

test('targets lose their query, their user and segments that look random', () => {
  assert.equal(redactTarget('/login?token=x'), '/login')
  assert.equal(redactTarget('http://bob:pw@app.example.com/a?b'), 'http://app.example.com/a')
  assert.equal(redactTarget('bob:pw@app.example.com:443'), 'app.example.com:443')
  assert.equal(redactPath('/bot123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/send'), `/${REDACTED}/send`)
  assert.equal(redactPath(`/reset/${'0a1b'.repeat(16)}`), `/reset/${REDACTED}`)
  for (const path of ['/orders/7c9e6679-7425-40de-944b-e07fc1f90ae7', '/api/v1/organisations/members', '/users/:id']) {
    assert.equal(redactPath(path), path)
  }
})

test('a command is shown as the name of its program', () => {
  for (const [words, name] of [
    [['/usr/bin/psql', 'postgres://bob:pw@db'], 'psql'],
    [['/bin/sh', '-c', "PGPASSWORD='a b' psql -h db"], 'psql'],
    [['/bin/sh', '-c', 'A=1 B="x y" exec /usr/bin/convert in out'], 'convert'],
    [['bash', '-lc', 'cd /tmp && secret'], 'cd'],
    [['/bin/sh', '-c', '$(echo pw)'], 'sh'],
    [['postgres: bob db 127.0.0.1'], 'a program'],
    [[], 'a program'],
  ] as const) {
    assert.equal(programName(words), name)
  }
})

test('a hostile text of 100,000 characters is redacted within a second', () => {
  for (const part of [
    'a',
    'password',
    '://',
    'postgres://',
    'select ',
    '"',
    "'",
    '?a=',
    '-----BEGIN ',
    'Key (',
    'a-',
    '\n',
    'eyJ',
    'update set ',
    'select a from;',
  ]) {
    const startedAt = performance.now()
    redact(`${part.repeat(Math.ceil(100_000 / part.length))}=`)
    const took = performance.now() - startedAt
    assert.ok(took < 1_000, `${JSON.stringify(part)} took ${took} ms`)
  }
})
