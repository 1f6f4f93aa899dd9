/** The maximum of an `integer` column. */
export const LARGEST_ID = 2_147_483_647

const STATUS = { type: 'string', enum: ['pending', 'accepted', 'completed', 'cancelled'] }
const ID_TEXT = { type: 'string', pattern: '^[1-9][0-9]{0,9}$' }

export const ID_PARAMS_SCHEMA: object = { type: 'object', required: ['id'], properties: { id: ID_TEXT } }

/** The query string of a list. */
export function listQuerySchema(owner: 'practitionerId' | 'technicianId'): object {
  return {
    type: 'object',
    required: [owner],
    additionalProperties: false,
    properties: {
      [owner]: ID_TEXT,
      status: STATUS,
      cursor: { type: 'string', minLength: 1, maxLength: 64 },
      limit: { type: 'string', pattern: '^(?:[1-9][0-9]{0,2}|1000)$', default: '50' },
    },
  }
}

/** Body of `PATCH …/referrals/:id`. */
export const REFERRAL_CHANGE_SCHEMA: object = {
  type: 'object',
  minProperties: 1,
  additionalProperties: false,
  properties: {
    status: STATUS,
    // PostgreSQL text cannot contain a zero byte.
    note: { type: ['string', 'null'], maxLength: 2_000, pattern: '^[^\\u0000]*$' },
    facilityId: { type: 'integer', minimum: 1, maximum: LARGEST_ID },
  },
}

/** Body of `PATCH …/tests/:id`. */
export const TEST_CHANGE_SCHEMA: object = {
  type: 'object',
  required: ['status'],
  additionalProperties: false,
  properties: { status: { type: 'string', enum: ['pending', 'in_progress', 'completed', 'cancelled'] } },
}

const NAMED = { type: 'object', properties: { id: { type: 'integer' }, name: { type: 'string' } } }

/** Responses have exactly these fields, so that no other column leaks. */
export const TEST_SCHEMA: object = {
  type: 'object',
  properties: {
    id: { type: 'integer' },
    status: { type: 'string' },
    test: NAMED,
    types: { type: 'array', items: { type: 'string' } },
  },
}

export const REFERRAL_SCHEMA: object = {
  type: 'object',
  properties: {
    id: { type: 'integer' },
    status: { type: 'string' },
    note: { type: ['string', 'null'] },
    createdAt: { type: 'string' },
    updatedAt: { type: 'string' },
    patient: { type: 'object', properties: { ...NAMED.properties, bornOn: { type: 'string' } } },
    facility: NAMED,
    referredBy: NAMED,
    tests: { type: 'array', items: TEST_SCHEMA },
  },
}

const PAGE = {
  items: { type: 'array', items: REFERRAL_SCHEMA },
  nextCursor: { type: ['string', 'null'] },
}

export const PAGE_SCHEMA: object = { type: 'object', properties: PAGE }

const COUNT = { type: 'integer' }

export const PRACTITIONER_PAGE_SCHEMA: object = {
  type: 'object',
  properties: {
    ...PAGE,
    summary: {
      type: 'object',
      properties: { total: COUNT, pending: COUNT, accepted: COUNT, completed: COUNT, cancelled: COUNT },
    },
  },
}
