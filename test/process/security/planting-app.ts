import { join } from 'node:path'

const SRC = join(import.meta.dirname, '../../../src')

/** Every secret has a number of its own, so that a finding names its place. */
export function planted(number: number): string {
  return `PLANTED${String(number).padStart(2, '0')}pw`
}

/** Where each secret is planted. */
export const PLACES: Readonly<Record<number, string>> = {
  1: 'a URL in the arguments of a child process that blocks the worker',
  2: 'a variable in the shell command of a child process that blocks the worker',
  3: 'the query string of the request that stalls',
  4: 'the query string of another request in flight',
  5: 'the user information of a request target in absolute form',
  6: 'the query string of a call by fetch',
  7: 'the authorization header of a call by fetch',
  8: 'the path of a call through an HTTP proxy',
  9: 'a quoted variable in the shell command of a child process that a request awaits',
  10: 'the name of a wait',
  11: 'a connection string in the error of a crash',
  12: 'a parameter of a connection string in the error of a crash',
  13: 'the cause of the error of a crash',
  14: 'a bearer token in the error of a crash',
  15: 'a literal of a SQL statement in the error of a crash',
  16: 'a field of a JSON body in the error of a crash',
  17: 'a connection string in the error of a failed boot',
  18: 'a variable of the environment',
  19: 'the authorization header of a request',
  20: 'a cookie of a request',
  21: 'the body of a request',
  22: 'the default of a runtime value whose name looks like a secret',
  23: 'the value that was set for it',
  24: 'the value of a runtime value that is marked as secret',
  25: 'the text of a runtime value that was refused',
  26: 'the error with which the app closed a connection',
  27: 'the error of a queue handler',
  28: 'a field of an item of a queue',
  29: 'the error of an event listener',
  30: 'a local variable of the function that stalls',
  31: 'a literal of a repeated query',
  32: 'a variable of a .env file',
  33: 'the output of a release step',
  34: 'the log of a release step',
  35: 'the source of a module in a data: URL that stalls',
  36: 'a variable that configures another server',
  37: 'the parameters of a query in the error of a crash',
  38: 'a long random segment of the path of a call (a webhook)',
  39: 'the error of a deferred module',
  40: 'a body that is no JSON, in the error of a crash',
  41: 'a literal in double quotes of a repeated query',
}

/** An app that spreads its secrets over everything that Punctual observes. */
export function plantingFiles(): Readonly<Record<string, string>> {
  const s = planted
  return {
    'app.mjs': `
import { exec, execFileSync, execSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import http from 'node:http'
import { withTimeout } from ${JSON.stringify(join(SRC, 'resilience/with-timeout.ts'))}
import { durableQueue } from ${JSON.stringify(join(SRC, 'queue/durable-queue.ts'))}
import { runtimeValue } from ${JSON.stringify(join(SRC, 'runtime/runtime-value.ts'))}
import { openSqlite } from ${JSON.stringify(join(SRC, 'sqlite/index.ts'))}
import { deferRoutes } from ${JSON.stringify(join(SRC, 'routes/index.ts'))}

if (existsSync('broken')) throw new Error('cannot connect to postgres://bob:${s(17)}@127.0.0.1:5432/app')

const text = (secret) => ({ value: '${s(22)}', read: (text) => {
  if (text.startsWith('bad')) throw new Error('not a key: ' + text)
  return text
}, write: (value) => value, ...secret })
runtimeValue('mail.apiKey', text({}))
runtimeValue('mail.line', text({ secret: true }))

const mails = durableQueue('mails', () => {
  throw Object.assign(new Error('smtp://bob:${s(27)}@mail.example.com:25 refused'), { permanent: true })
}, { onEvent: undefined })
const other = durableQueue('others', () => {
  throw Object.assign(new Error('refused'), { permanent: true })
}, { onEvent: () => { throw new Error('cannot log to https://bob:${s(29)}@log.example.com') } })

const lite = openSqlite('lite', 'app.sqlite')
await lite.exec("create table if not exists users (id integer primary key, token text)")
const reports = deferRoutes('/reports', async () => { throw new Error('no license; token=${s(39)}') })

const { spin } = await import('data:text/javascript,' + encodeURIComponent(
  'export function spin(until) { /*${s(35)}*/ for (; Date.now() < until;); }'))

function parseError(body) {
  try {
    return JSON.parse(body)
  } catch (error) {
    return error.message
  }
}

function stallHere(ms) {
  const localPassword = '${s(30)}'
  for (const end = Date.now() + ms; Date.now() < end; ) localPassword.length
}

http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, 'http://app')
  const upstream = process.env.UPSTREAM
  switch (pathname) {
    case '/wait': return
    case '/reports': return reports(request, response)
    case '/spin': return stallHere(60_000)
    case '/spin-data': return spin(Date.now() + 60_000)
    case '/child': return execFileSync('sh', ['-c', 'sleep 60; :', 'postgres://bob:${s(1)}@db/app'])
    case '/shell': return execSync("PGPASSWORD='x ${s(2)}' sleep 60; :")
    case '/fetch':
      return fetch(upstream + '/slow?key=${s(6)}', { headers: { authorization: 'Bearer ${s(7)}' } }).catch(() => {})
    case '/webhook':
      return fetch(upstream + '/services/${s(38)}Xk29fjQ0aLr8vWmZ1tYb').catch(() => {})
    case '/proxy':
      return http.get(upstream, { path: 'http://bob:${s(8)}@target.example.com/x?y=${s(8)}' }).on('error', () => {})
    case '/exec': return exec("TOKEN='a ${s(9)}' sleep 4; :")
    case '/named':
      return withTimeout('GET https://bob:${s(10)}@api.example.com/x?token=${s(10)}', '60s', () => new Promise(() => {})).catch(() => {})
    case '/destroy':
      return response.destroy(new Error('lost redis://:${s(26)}@cache.example.com:6379'))
    case '/queue':
      mails.push({ to: 'bob', password: '${s(28)}' })
      other.push({ to: 'bob', password: '${s(28)}' })
      return response.end('pushed')
    case '/queries':
      return (async () => {
        for (let id = 0; id < 30; id++) await lite.all('select id from users where token = \\'${s(31)}\\' and token <> "${s(41)}" and id = ' + id).catch(() => {})
        response.end('asked')
      })()
    case '/crash':
      setImmediate(() => {
        const cause = new Error('login failed: password=${s(13)}')
        throw Object.assign(
          new Error([
            'cannot connect to postgres://bob:${s(11)}@db.example.com:5432/app?sslpassword=${s(12)}&sslmode=require',
            'Authorization: Bearer ${s(14)}',
            "Failed query: insert into users (token, name) values ('${s(15)}', $1)",
            'params: ${s(37)},7',
            'body: {"user":"bob","password":"${s(16)}"}',
            parseError('{"user":${s(40)}'),
          ].join('\\n'), { cause }),
          { detail: 'Key (token)=(${s(15)}) already exists.' },
        )
      })
      return
  }
  response.end('ok ' + searchParams.size)
}).listen(process.env.PORT, process.env.HOST)
`,
    'punctual.config.mjs': `
export default {
  releaseLock: 'file:releases',
  release: [
    { name: 'shell', run: "echo 'migrating postgres://bob:${s(33)}@db.example.com/app'" },
    { name: 'function', run: ({ log }) => log('done with password=${s(34)}') },
  ],
}
`,
    '.env': `HOST=http://bob:${s(32)}@db.example.com\n`,
  }
}
