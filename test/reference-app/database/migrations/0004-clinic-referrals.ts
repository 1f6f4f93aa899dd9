import type { Kysely } from 'kysely'
import { sql } from 'kysely'

export async function up(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('facilities')
    .addColumn('id', 'integer', (column) => column.generatedByDefaultAsIdentity().primaryKey())
    .addColumn('name', 'text', (column) => column.notNull().unique())
    .execute()
  for (const table of ['practitioners', 'technicians']) {
    await db.schema
      .createTable(table)
      .addColumn('id', 'integer', (column) => column.generatedByDefaultAsIdentity().primaryKey())
      .addColumn('facility_id', 'integer', (column) => column.notNull().references('facilities.id'))
      .addColumn('name', 'text', (column) => column.notNull())
      .execute()
    await db.schema.createIndex(`${table}_facility_id`).on(table).column('facility_id').execute()
  }
  await db.schema
    .createTable('patients')
    .addColumn('id', 'integer', (column) => column.generatedByDefaultAsIdentity().primaryKey())
    .addColumn('name', 'text', (column) => column.notNull())
    .addColumn('born_on', 'date', (column) => column.notNull())
    .execute()
  await createCatalogue(db)
  await createReferrals(db)
}

async function createCatalogue(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('tests')
    .addColumn('id', 'integer', (column) => column.generatedByDefaultAsIdentity().primaryKey())
    .addColumn('name', 'text', (column) => column.notNull().unique())
    .execute()
  await db.schema
    .createTable('test_types')
    .addColumn('id', 'integer', (column) => column.generatedByDefaultAsIdentity().primaryKey())
    .addColumn('test_id', 'integer', (column) => column.notNull().references('tests.id').onDelete('cascade'))
    .addColumn('name', 'text', (column) => column.notNull())
    .execute()
  await db.schema.createIndex('test_types_test_id').on('test_types').column('test_id').execute()
}

/** The name `referrals` is taken by those of users, in `auth`. */
async function createReferrals(db: Kysely<unknown>): Promise<void> {
  await db.schema
    .createTable('clinic_referrals')
    .addColumn('id', 'integer', (column) => column.generatedByDefaultAsIdentity().primaryKey())
    .addColumn('patient_id', 'integer', (column) => column.notNull().references('patients.id'))
    .addColumn('facility_id', 'integer', (column) => column.notNull().references('facilities.id'))
    .addColumn('practitioner_id', 'integer', (column) => column.notNull().references('practitioners.id'))
    .addColumn('status', 'text', (column) =>
      column.notNull().defaultTo('pending').check(sql`status in ('pending', 'accepted', 'completed', 'cancelled')`),
    )
    .addColumn('note', 'text')
    // Whole milliseconds, the precision of JavaScript: a page continues where the last one ended.
    .addColumn('created_at', sql`timestamptz(3)`, (column) => column.notNull().defaultTo(sql`now()`))
    .addColumn('updated_at', sql`timestamptz(3)`, (column) => column.notNull().defaultTo(sql`now()`))
    .execute()
  // An index for each list, with and without its filter, in its order.
  for (const owner of ['practitioner_id', 'facility_id']) {
    await db.schema
      .createIndex(`clinic_referrals_${owner}`)
      .on('clinic_referrals')
      .columns([owner, 'created_at', 'id'])
      .execute()
    await db.schema
      .createIndex(`clinic_referrals_${owner}_status`)
      .on('clinic_referrals')
      .columns([owner, 'status', 'created_at', 'id'])
      .execute()
  }
  await db.schema.createIndex('clinic_referrals_patient_id').on('clinic_referrals').column('patient_id').execute()
  await db.schema
    .createTable('referral_tests')
    .addColumn('id', 'integer', (column) => column.generatedByDefaultAsIdentity().primaryKey())
    .addColumn('referral_id', 'integer', (column) =>
      column.notNull().references('clinic_referrals.id').onDelete('cascade'),
    )
    .addColumn('test_id', 'integer', (column) => column.notNull().references('tests.id'))
    .addColumn('status', 'text', (column) =>
      column.notNull().defaultTo('pending').check(sql`status in ('pending', 'in_progress', 'completed', 'cancelled')`),
    )
    .execute()
  await db.schema
    .createIndex('referral_tests_referral_id')
    .on('referral_tests')
    .columns(['referral_id', 'id'])
    .execute()
  await db.schema.createIndex('referral_tests_test_id').on('referral_tests').column('test_id').execute()
}

export async function down(db: Kysely<unknown>): Promise<void> {
  const tables = [
    'referral_tests',
    'clinic_referrals',
    'test_types',
    'tests',
    'patients',
    'technicians',
    'practitioners',
  ]
  for (const table of [...tables, 'facilities']) await db.schema.dropTable(table).execute()
}
