import type { Kysely } from 'kysely'
import { sql } from 'kysely'

const AUDIT_TABLES = ['security_events', 'user_activity']

/**
 * What is deferred may come twice, with the same id: the audit tables take that for their key, and so keep one row. A referrer is told how many he has brought.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const table of AUDIT_TABLES) {
    await sql`alter table ${sql.table(table)} alter column id drop identity`.execute(db)
    await sql`
      alter table ${sql.table(table)}
        alter column id type text using id::text,
        alter column id set default gen_random_uuid()::text`.execute(db)
  }
  await db.schema
    .alterTable('auth_users')
    .addColumn('referral_count', 'integer', (column) => column.notNull().defaultTo(0))
    .execute()
  await sql`
    update auth_users set referral_count = counted.n
    from (select referrer_id, count(*)::int as n from referrals group by referrer_id) as counted
    where auth_users.id = counted.referrer_id`.execute(db)
}

export async function down(db: Kysely<unknown>): Promise<void> {
  await db.schema.alterTable('auth_users').dropColumn('referral_count').execute()
  for (const table of AUDIT_TABLES) {
    // The new ids are no numbers; in the old table they said nothing but which row is which.
    await db.schema.alterTable(table).dropColumn('id').execute()
    await db.schema
      .alterTable(table)
      .addColumn('id', 'bigint', (column) => column.generatedAlwaysAsIdentity().primaryKey())
      .execute()
  }
}
