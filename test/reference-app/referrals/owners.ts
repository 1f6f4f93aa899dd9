import { type Kysely, type RawBuilder, sql } from 'kysely'
import type { Database } from '../database/schema.ts'
import type { Summary } from './contract.ts'

/** The counts of a `Summary`, over referrals `r`. */
export const COUNTS: RawBuilder<unknown> = sql`
  count(r.id)::int as total,
  count(*) filter (where r.status = 'pending')::int as pending, count(*) filter (where r.status = 'accepted')::int as accepted,
  count(*) filter (where r.status = 'completed')::int as completed, count(*) filter (where r.status = 'cancelled')::int as cancelled`

/** Counts the referrals of a practitioner. Undefined: there is no such practitioner. */
export async function summaryOf(db: Kysely<Database>, practitionerId: number): Promise<Summary | undefined> {
  const { rows } = await sql<Summary>`
    select ${COUNTS} from practitioners o left join clinic_referrals r on r.practitioner_id = o.id
    where o.id = ${practitionerId} group by o.id`.execute(db)
  return rows[0]
}

export async function isTechnician(db: Kysely<Database>, id: number): Promise<boolean> {
  const found = await db.selectFrom('technicians').select('id').where('id', '=', id).executeTakeFirst()
  return found !== undefined
}

/** The condition for referrals `r` of the facility that a technician works at. */
export function seenBy(technicianId: number): RawBuilder<boolean> {
  return sql`r.facility_id = (select facility_id from technicians where id = ${technicianId})`
}
