// What apps do in `finally`, and what they start in a request that goes on after it.
import http from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { withTimeout } from '../../../../src/index.ts'
import { guardPool } from '../../../../src/postgres/index.ts'
import { openSqlite } from '../../../../src/sqlite/index.ts'

const database = JSON.parse(process.env.DATABASE)
const guard = (name, max) => {
  const pool = guardPool(name, new pg.Pool({ ...database, max }), { onEvent: () => {} })
  pool.on('error', () => {})
  return pool
}
const single = guard('single', 1)
const many = guard('many', 4)
const sqlite = openSqlite('main', './clean-up.sqlite')
await sqlite.exec('create table locks (name text primary key)')

/** Results of clean-up code by route. */
const done = {}
const attempt = async (route, work) => {
  try {
    await work()
    done[route] = 'done'
  } catch (error) {
    done[route] = `${error.name}: ${error.message}`
  }
}
const slowly = (client) => client.query('select pg_sleep(20)')

const background = { pool: 0, withTimeout: 0, sqlite: 0, errors: {} }
const tasks = {
  pool: () => many.query('select 1'),
  withTimeout: () => withTimeout('poll', '5s', async () => sleep(1)),
  sqlite: () => sqlite.all('select 1'),
}
let poller
const startPolling = () => {
  poller ??= setInterval(() => {
    for (const [name, task] of Object.entries(tasks)) {
      Promise.resolve()
        .then(task)
        .then(
          () => background[name]++,
          (error) => {
            background.errors[`${name} ${error.name}`] = (background.errors[`${name} ${error.name}`] ?? 0) + 1
          },
        )
    }
  }, 50)
}
const stopPolling = () => {
  clearInterval(poller)
  poller = undefined
}

/** Checks a connection out, changes its session, and cleans up in `finally`. */
async function withSession(route, change, work, cleanUp) {
  const client = await single.connect()
  try {
    await client.query(change)
    await work(client)
  } finally {
    if (cleanUp !== null) await attempt(route, () => client.query(cleanUp))
    client.release()
  }
}

const routes = {
  '/role': () => withSession('/role', 'set role tenant_a', slowly, 'reset role'),
  '/role-unguarded-wait': () =>
    withSession('/role-unguarded-wait', 'set role tenant_a', () => sleep(1_500), 'reset role'),
  '/role-without-finally': async () => {
    const client = await single.connect()
    try {
      await client.query('set role tenant_a')
      await slowly(client)
      await client.query('reset role')
    } finally {
      client.release()
    }
  },
  // Something else succeeds, but the role stays.
  '/role-with-audit': async () => {
    const client = await single.connect()
    try {
      await client.query('/* as the tenant */ set role tenant_a')
      await slowly(client)
      await client.query('reset role')
    } catch (error) {
      await client.query('select 1')
      throw error
    } finally {
      client.release()
    }
  },
  '/role-in-function': async () => {
    const client = await single.connect()
    try {
      await client.query('select become_tenant()')
      await slowly(client)
    } finally {
      client.release()
    }
  },
  '/role-in-transaction': async () => {
    const client = await single.connect()
    try {
      await client.query('set role tenant_a')
      await client.query('begin')
      await slowly(client)
      await client.query('commit')
    } catch (error) {
      await client.query('rollback')
      throw error
    } finally {
      await attempt('/role-in-transaction', () => client.query('reset role'))
      client.release()
    }
  },
  '/release-after-clean-up': async () => {
    const client = await single.connect()
    try {
      await client.query('set role tenant_a')
      await slowly(client)
    } finally {
      await client.query('reset role')
      done['/release-after-clean-up'] = 'done'
      client.release()
    }
  },
  '/setting': () =>
    withSession(
      '/setting',
      "select set_config('app.tenant', 'a', false)",
      slowly,
      "select set_config('app.tenant', '', false)",
    ),
  '/lock': () => withSession('/lock', 'select pg_advisory_lock(1)', slowly, 'select pg_advisory_unlock(1)'),
  '/temp': () => withSession('/temp', 'create temp table scratch (a int)', slowly, 'drop table scratch'),
  '/sqlite': async () => {
    await sqlite.run("insert into locks values ('job')")
    try {
      await slowly(single)
    } finally {
      await attempt('/sqlite', () => sqlite.run("delete from locks where name = 'job'"))
    }
  },
  '/with-timeout': async () => {
    try {
      await slowly(single)
    } finally {
      await attempt('/with-timeout', () => withTimeout('unlock', '1s', () => sleep(20)))
    }
  },
  // A clean-up that cannot succeed must end by itself.
  '/blocked-clean-up': async () => {
    try {
      await slowly(single)
    } finally {
      await attempt('/blocked-clean-up', () => single.query('select pg_sleep(60)'))
    }
  },
  '/hold-row': async () => {
    const client = await many.connect()
    try {
      await client.query('begin')
      await client.query('update users set n = n + 1 where id = 1')
      await sleep(2_000)
      await attempt('/hold-row', () => client.query('commit'))
    } finally {
      client.release()
    }
  },
  '/hang-with-row': async () => {
    const client = await many.connect()
    await client.query('begin')
    await client.query('update users set n = n + 1 where id = 2')
    await new Promise(() => {})
  },
  '/rows': async () => JSON.stringify((await many.query('update users set n = n returning id, n')).rows),
  '/who': async () => {
    const { rows } = await single.query(
      "select current_user as role, current_setting('app.tenant', true) as tenant, " +
        "(select count(*)::int from pg_locks where locktype = 'advisory') as locks, to_regclass('scratch')::text as temp",
    )
    return JSON.stringify({ ...rows[0], rows: await sqlite.all('select * from locks') })
  },
  '/poll': async () => startPolling(),
  '/poll-until-late': async () => {
    startPolling()
    await sleep(20_000)
  },
  '/stop-polling': async () => stopPolling(),
  '/done': async () => JSON.stringify({ done, background }),
}

http
  .createServer(async (request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost')
    if (pathname === '/accepted') {
      // Begun while the request is open, and goes on when it has been answered.
      const queries = Promise.all([many.query('select pg_sleep(2)'), withTimeout('job', '10s', () => sleep(2_000))])
      response.statusCode = 202
      response.end('accepted')
      await attempt('/accepted', () => queries)
      await attempt('/accepted-later', () => many.query('select pg_sleep(0.01)'))
      return
    }
    try {
      response.end((await routes[pathname]()) ?? 'ok')
    } catch (error) {
      response.statusCode = 500
      response.end(`${error.name}: ${error.message}`)
    }
  })
  .listen(process.env.PORT)
