/** Milliseconds. A single one may be due to the machine; one after the other is the disk. */
const SLOW = 50
const IN_A_ROW = 3
/** Milliseconds. Too long for anybody who waits, whatever the reason. */
const FAR_TOO_SLOW = 500

/** Tells a disk that is slow from a write that happened to be. */
export class SlowWrites {
  #row = 0

  /** Takes what a write took, in milliseconds; true when the disk should be left alone. */
  tooSlow(took: number): boolean {
    if (took < SLOW) {
      this.#row = 0
      return false
    }
    this.#row++
    if (took < FAR_TOO_SLOW && this.#row < IN_A_ROW) return false
    this.#row = 0
    return true
  }
}
