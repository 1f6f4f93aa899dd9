/** Which items of a segment are settled: a bit for each, by index. */
export class SettledSet {
  #bits = new Uint8Array(64)

  has(index: number): boolean {
    return ((this.#bits[index >>> 3] ?? 0) & (1 << (index & 7))) !== 0
  }

  /** False if it was in it already. */
  add(index: number): boolean {
    const byte = index >>> 3
    if (byte >= this.#bits.length) {
      const larger = new Uint8Array(Math.max(this.#bits.length * 2, byte + 1))
      larger.set(this.#bits)
      this.#bits = larger
    }
    const bit = 1 << (index & 7)
    const before = this.#bits[byte] as number
    this.#bits[byte] = before | bit
    return (before & bit) === 0
  }
}
