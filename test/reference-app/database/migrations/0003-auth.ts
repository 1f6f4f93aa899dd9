import type { Kysely } from 'kysely'
import { sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('auth_users')
    .addColumn('id', 'integer', (column) => column.generatedAlwaysAsIdentity().primaryKey())
    .addColumn('privy_id', 'text', (column) => column.unique())
    .addColumn('username', 'text', (column) => column.notNull().unique())
    .addColumn('email', 'text', (column) => column.notNull())
    .addColumn('referral_code', 'text', (column) => column.notNull().unique())
    .addColumn('referred_by', 'integer', (column) => column.references('auth_users.id').onDelete('set null'))
    .addColumn('created_at', 'timestamptz', (column) => column.notNull().defaultTo(sql`now()`))
    .addColumn('last_seen_at', 'timestamptz')
    .execute()
  await db.schema
    .createTable('api_keys')
    .addColumn('id', 'integer', (column) => column.generatedAlwaysAsIdentity().primaryKey())
    .addColumn('user_id', 'integer', (column) => column.notNull().references('auth_users.id').onDelete('cascade'))
    .addColumn('prefix', 'text', (column) => column.notNull())
    .addColumn('key_hash', 'bytea', (column) => column.notNull().unique())
    .addColumn('created_at', 'timestamptz', (column) => column.notNull().defaultTo(sql`now()`))
    .addColumn('revoked_at', 'timestamptz')
    .execute()
  await db.schema.createIndex('api_keys_user_id').on('api_keys').column('user_id').execute()
  await db.schema
    .createTable('referrals')
    .addColumn('id', 'integer', (column) => column.generatedAlwaysAsIdentity().primaryKey())
    .addColumn('referrer_id', 'integer', (column) => column.notNull().references('auth_users.id').onDelete('cascade'))
    // A user can be referred only once.
    .addColumn('referred_id', 'integer', (column) =>
      column.notNull().unique().references('auth_users.id').onDelete('cascade'),
    )
    .addColumn('created_at', 'timestamptz', (column) => column.notNull().defaultTo(sql`now()`))
    .execute()
  await db.schema.createIndex('referrals_referrer_id').on('referrals').column('referrer_id').execute()
  await db.schema
    .createTable('email_outbox')
    .addColumn('id', 'bigint', (column) => column.generatedAlwaysAsIdentity().primaryKey())
    .addColumn('recipient', 'text', (column) => column.notNull())
    .addColumn('template', 'text', (column) => column.notNull().check(sql`template in ('referral_joined')`))
    .addColumn('about_user_id', 'integer', (column) => column.references('auth_users.id').onDelete('set null'))
    .addColumn('created_at', 'timestamptz', (column) => column.notNull().defaultTo(sql`now()`))
    .addColumn('sent_at', 'timestamptz')
    .execute()
}

export async function down(db: Kysely<unknown>): Promise<void> {
  for (const table of ['email_outbox', 'referrals', 'api_keys', 'auth_users'])
    await db.schema.dropTable(table).execute()
}
