import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import { utcNow } from '../utc-time.ts'
import { up as createAudit, down as dropAudit } from './0002-security-events-and-user-activity.ts'

const EVENT_COLUMNS = sql.raw('event, user_id, username, ip, user_agent, created_at')
const ACTIVITY_COLUMNS = sql.raw('user_id, activity, created_at')

/**
 * Deferred items may arrive twice with the same id, which becomes the key of the audit tables.
 * SQLite cannot change the type of a column, so the tables are recreated.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await setAside(db)
  await db.schema
    .createTable('security_events')
    .addColumn('id', 'text', (column) => column.notNull().primaryKey())
    .addColumn('event', 'text', (column) => column.notNull().check(sql`event in ('login', 'login_failed', 'logout')`))
    .addColumn('user_id', 'integer', (column) => column.references('users.id').onDelete('set null'))
    .addColumn('username', 'text', (column) => column.notNull())
    .addColumn('ip', 'text', (column) => column.notNull())
    .addColumn('user_agent', 'text', (column) => column.notNull())
    .addColumn('created_at', 'text', (column) => column.notNull().defaultTo(sql`(${utcNow()})`))
    .modifyEnd(sql`strict`)
    .execute()
  await db.schema
    .createIndex('security_events_user_id')
    .on('security_events')
    .columns(['user_id', 'created_at'])
    .execute()
  await db.schema
    .createTable('user_activity')
    .addColumn('id', 'text', (column) => column.notNull().primaryKey())
    .addColumn('user_id', 'integer', (column) => column.notNull().references('users.id').onDelete('cascade'))
    .addColumn('activity', 'text', (column) => column.notNull().check(sql`activity in ('login', 'logout')`))
    .addColumn('created_at', 'text', (column) => column.notNull().defaultTo(sql`(${utcNow()})`))
    .modifyEnd(sql`strict`)
    .execute()
  await db.schema.createIndex('user_activity_user_id').on('user_activity').columns(['user_id', 'created_at']).execute()
  await takeBack(db, sql`id, `, sql`cast(id as text), `)
}

export async function down(db: Kysely<unknown>): Promise<void> {
  await setAside(db)
  await createAudit(db)
  await takeBack(db, sql``, sql``)
}

async function setAside(db: Kysely<unknown>): Promise<void> {
  await sql`create temp table had_events as select * from security_events`.execute(db)
  await sql`create temp table had_activity as select * from user_activity`.execute(db)
  await dropAudit(db)
}

async function takeBack(db: Kysely<unknown>, id: ReturnType<typeof sql>, from: ReturnType<typeof sql>): Promise<void> {
  await sql`insert into security_events (${id}${EVENT_COLUMNS}) select ${from}${EVENT_COLUMNS} from had_events`.execute(
    db,
  )
  await sql`insert into user_activity (${id}${ACTIVITY_COLUMNS}) select ${from}${ACTIVITY_COLUMNS} from had_activity`.execute(
    db,
  )
  for (const table of ['had_events', 'had_activity']) await sql`drop table temp.${sql.table(table)}`.execute(db)
}
