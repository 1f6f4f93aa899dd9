const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const LENGTH = 10

/** When a ULID was made, in milliseconds of the epoch; 0 for what is none. */
export function ulidTime(id: string): number {
  let time = 0
  for (let place = 0; place < LENGTH; place++) {
    const digit = DIGITS.indexOf(id.charAt(place) || '-')
    if (digit === -1) return 0
    time = time * DIGITS.length + digit
  }
  return time
}
