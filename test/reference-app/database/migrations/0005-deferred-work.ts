import type { Kysely } from 'kysely'
import { sql } from 'kysely'

const AUDIT_TABLES = ['security_events', 'user_activity']

/**
 * Deferred items may arrive twice with the same id, which becomes the key of the audit tables. A
 * letter tells a referrer how many users they have referred.
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
    // The new ids are not numbers; the old ones had no meaning.
    await db.schema.alterTable(table).dropColumn('id').execute()
    await db.schema
      .alterTable(table)
      .addColumn('id', 'bigint', (column) => column.generatedAlwaysAsIdentity().primaryKey())
      .execute()
  }
}
