import type { Kysely } from 'kysely'
import { sql } from 'kysely'
import { utcNow } from '../utc-time.ts'

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('security_events')
    .addColumn('id', 'integer', (column) => column.primaryKey().autoIncrement())
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
    .addColumn('id', 'integer', (column) => column.primaryKey().autoIncrement())
    .addColumn('user_id', 'integer', (column) => column.notNull().references('users.id').onDelete('cascade'))
    .addColumn('activity', 'text', (column) => column.notNull().check(sql`activity in ('login', 'logout')`))
    .addColumn('created_at', 'text', (column) => column.notNull().defaultTo(sql`(${utcNow()})`))
    .modifyEnd(sql`strict`)
    .execute()
  await db.schema.createIndex('user_activity_user_id').on('user_activity').columns(['user_id', 'created_at']).execute()
}

export async function down(db: Kysely<unknown>): Promise<void> {
  await db.schema.dropTable('user_activity').execute()
  await db.schema.dropTable('security_events').execute()
}
