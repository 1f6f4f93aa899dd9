import { CacheValueError } from './value-error.ts'

/** A value as a cache keeps it: a copy of its own that nobody else can change. */
export interface TakenValue {
  readonly value: unknown
  /** Something in it cannot be frozen (a date, a map, bytes): whoever asks is given a copy. */
  readonly isMutable: boolean
  /** What it takes of the memory, estimated. */
  readonly bytes: number
}

/** Deeper than any data; a circle is deeper than that. */
const DEEPEST = 200
const OBJECT_BYTES = 32
const FIELD_BYTES = 16

/**
 * Copies a value into the cache, and freezes what can be frozen.
 *
 * @param where whose value it is, for the error
 * @throws CacheValueError for what is no plain data, and for a circle
 */
export function takeValue(where: string, value: unknown): TakenValue {
  const copier = new Copier(where)
  const own = copier.copy(value, 0, '')
  return { value: own, isMutable: copier.isMutable, bytes: copier.bytes }
}

/** A copy of what `takeValue` has let in, for a caller to do with as it likes. */
export function copyValue(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(copyValue)
  if (isPlain(value)) {
    const copy: Record<string, unknown> = Object.getPrototypeOf(value) === null ? Object.create(null) : {}
    for (const name of Object.keys(value)) setField(copy, name, copyValue((value as Record<string, unknown>)[name]))
    return copy
  }
  if (value instanceof Date) return new Date(value)
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [copyValue(key), copyValue(item)]))
  if (value instanceof Set) return new Set([...value].map(copyValue))
  return copyBytes(value as ArrayBufferView | ArrayBuffer)
}

/** A field called `__proto__` is data like any other, and no prototype. */
export function setField(target: Record<string, unknown>, name: string, value: unknown): void {
  if (name !== '__proto__') target[name] = value
  else Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true })
}

export function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

class Copier {
  isMutable = false
  bytes = 0
  readonly #where: string

  constructor(where: string) {
    this.#where = where
  }

  copy(value: unknown, depth: number, path: string): unknown {
    switch (typeof value) {
      case 'string':
        this.bytes += FIELD_BYTES + value.length * 2
        return value
      case 'object':
        if (value !== null) return this.#copyObject(value, depth, path)
        break
      case 'function':
      case 'symbol':
        throw new CacheValueError(this.#where, { path, kind: typeof value as 'function' | 'symbol' })
    }
    this.bytes += FIELD_BYTES
    return value
  }

  #copyObject(value: object, depth: number, path: string): unknown {
    if (depth > DEEPEST) {
      throw new CacheValueError(this.#where, { path: '', kind: 'too-deep' })
    }
    this.bytes += OBJECT_BYTES
    if (Array.isArray(value)) {
      return Object.freeze(value.map((item, index) => this.copy(item, depth + 1, `${path}[${index}]`)))
    }
    if (isPlain(value)) return this.#copyPlain(value as Record<string, unknown>, depth, path)
    return this.#copyMutable(value, depth, path)
  }

  #copyPlain(value: Record<string, unknown>, depth: number, path: string): unknown {
    const copy: Record<string, unknown> = Object.getPrototypeOf(value) === null ? Object.create(null) : {}
    for (const name of Object.keys(value)) {
      this.bytes += FIELD_BYTES
      setField(copy, name, this.copy(value[name], depth + 1, `${path}.${name}`))
    }
    return Object.freeze(copy)
  }

  #copyMutable(value: object, depth: number, path: string): unknown {
    this.isMutable = true
    if (value instanceof Date) return new Date(value)
    if (value instanceof Map) {
      const inside = `${path}.<map>`
      return new Map(
        [...value].map(([key, item]) => [this.copy(key, depth + 1, inside), this.copy(item, depth + 1, inside)]),
      )
    }
    if (value instanceof Set) return new Set([...value].map((item) => this.copy(item, depth + 1, `${path}.<set>`)))
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
      this.bytes += value.byteLength
      return copyBytes(value)
    }
    throw new CacheValueError(this.#where, { path, kind: 'instance', className: value.constructor?.name ?? '' })
  }
}

function copyBytes(value: ArrayBufferView | ArrayBuffer): unknown {
  if (value instanceof ArrayBuffer) return value.slice(0)
  // `slice` of a Buffer would share its memory.
  if (Buffer.isBuffer(value)) return Buffer.from(value)
  if (value instanceof DataView) {
    return new DataView(value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength))
  }
  return (value as Uint8Array).slice()
}
