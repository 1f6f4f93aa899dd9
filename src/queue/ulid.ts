import { monotonicNow, wallClock } from '../resilience/clock.ts'

/** Crockford's base 32: no I, L, O, U. In the order of ASCII, so that ids sort as text. */
const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
/** All pairs of digits: a look-up writes the ten bits that change with every id. */
const PAIRS: readonly string[] = Array.from(DIGITS).flatMap((high) => Array.from(DIGITS, (low) => high + low))
const COUNTED = 2 ** 20
/** Random bytes of one id: 60 bits that mostly stay within a millisecond, then 20 that are counted up. */
const DRAWN = 11

const pool = new Uint8Array(DRAWN * 100)
let drawnUpTo = pool.length

/** The wall clock is read once in each millisecond of the monotonic one. */
let lastTick = Number.NaN
let wall = 0

let lastTime = -1
/** The 60 bits in front of the counted ones, as two halves of 30. */
let high = 0
let low = 0
let counted = 0

/** The id that was made last: all but the last two digits, which change with every id, and these. */
const last = { head: '', tail: '' }

/**
 * A ULID (github.com/ulid/spec): 26 characters, 48 bits of wall time in milliseconds and 80 random ones. Ids of one process are in ascending order, as text too,
 * also within a millisecond and when the clock is set back.
 */
export function ulid(): string {
  const { head, tail } = splitUlid()
  return head + tail
}

/**
 * The same in two parts, good until the next is made.
 *
 * @param now `monotonicNow()`, if the caller has just read it
 */
export function splitUlid(now: number = monotonicNow()): { readonly head: string; readonly tail: string } {
  const tick = Math.floor(now)
  if (tick !== lastTick) {
    lastTick = tick
    wall = wallClock().getTime()
  }
  if (wall > lastTime) {
    lastTime = wall
    draw()
    makeHead()
  } else if ((++counted & 1023) === 0) {
    if (counted === COUNTED) carry()
    makeHead()
  }
  last.tail = PAIRS[counted & 1023] as string
  return last
}

function makeHead(): void {
  last.head = digits(lastTime, 10) + digits(high, 6) + digits(low, 6) + PAIRS[counted >>> 10]
}

function carry(): void {
  counted = 0
  if (++low < 2 ** 30) return
  low = 0
  high++
}

function draw(): void {
  if (drawnUpTo === pool.length) {
    // Without `import`, which would load all of Web Crypto; a pool, because a call for each id would cost more than the id.
    process.getBuiltinModule('node:crypto').randomFillSync(pool)
    drawnUpTo = 0
  }
  const view = new DataView(pool.buffer, drawnUpTo, DRAWN)
  drawnUpTo += DRAWN
  // The topmost bit stays clear, so that counting up within a millisecond never runs over.
  high = view.getUint32(0) >>> 3
  low = view.getUint32(4) >>> 2
  counted = (view.getUint16(8) << 4) | (view.getUint8(10) & 15)
}

function digits(value: number, length: number): string {
  let text = ''
  for (let place = 0; place < length; place++) {
    text = DIGITS.charAt(value % 32) + text
    value = Math.floor(value / 32)
  }
  return text
}
