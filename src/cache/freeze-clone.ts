import { PunctualError } from '../errors/punctual-error.ts'

/** A value as a cache keeps it: a copy that no caller can change. */
export interface FrozenClone {
  readonly value: unknown
  /**
   * It contains something that cannot be frozen (a date, a map, bytes), so each caller gets a copy.
   */
  readonly isMutable: boolean
  /** Memory it takes, estimated. */
  readonly bytes: number
}

/** What a cache can neither freeze nor copy. */
export interface UnsharableValue {
  /** Path inside the value, such as `.prices[0]`; empty for the value itself. */
  readonly path: string
  readonly kind: 'function' | 'symbol' | 'instance' | 'too-deep'
  /** Of an instance. */
  readonly className?: string
}

/** A value contains something that a cache cannot share safely, such as an instance of a class. */
export class CacheValueError extends PunctualError {
  static {
    CacheValueError.prototype.name = 'CacheValueError'
  }

  /** @param of names the value */
  constructor(of: string, found: UnsharableValue) {
    super(
      'PUNCTUAL_CACHE_VALUE',
      `${of}${found.path} is ${describe(found)}, which a cache cannot share safely; return plain objects, arrays, strings, numbers, booleans, bigints, dates, maps, sets or bytes`,
      { details: { ...found } },
    )
  }
}

function describe({ kind, className }: UnsharableValue): string {
  if (kind === 'instance') return `an instance of ${className || 'a class'}`
  return kind === 'too-deep' ? 'nested too deeply, or in a circle' : `a ${kind}`
}

/** Deeper than real data; a circle exceeds it. */
const MAX_DEPTH = 200
const OBJECT_BYTES = 32
const FIELD_BYTES = 16

/**
 * Copies a value, and freezes what can be frozen.
 *
 * @param of names the value in the error
 * @throws CacheValueError for anything but plain data, and for a circle
 */
export function freezeClone(of: string, value: unknown): FrozenClone {
  const cloner = new Cloner(of)
  const clone = cloner.clone(value, 0, '')
  return { value: clone, isMutable: cloner.isMutable, bytes: cloner.bytes }
}

/** Copies a value that `freezeClone` accepted, for a caller who may change it. */
export function cloneValue(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(cloneValue)
  if (isPlain(value)) {
    const clone: Record<string, unknown> = Object.getPrototypeOf(value) === null ? Object.create(null) : {}
    for (const name of Object.keys(value)) setField(clone, name, cloneValue((value as Record<string, unknown>)[name]))
    return clone
  }
  if (value instanceof Date) return new Date(value)
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [cloneValue(key), cloneValue(item)]))
  if (value instanceof Set) return new Set([...value].map(cloneValue))
  return cloneBytes(value as ArrayBufferView | ArrayBuffer)
}

/** Sets a field as data, even one named `__proto__`. */
export function setField(target: Record<string, unknown>, name: string, value: unknown): void {
  if (name !== '__proto__') target[name] = value
  else Object.defineProperty(target, name, { value, enumerable: true, configurable: true, writable: true })
}

export function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

class Cloner {
  isMutable = false
  bytes = 0
  readonly #of: string

  constructor(of: string) {
    this.#of = of
  }

  clone(value: unknown, depth: number, path: string): unknown {
    switch (typeof value) {
      case 'string':
        this.bytes += FIELD_BYTES + value.length * 2
        return value
      case 'object':
        if (value !== null) return this.#cloneObject(value, depth, path)
        break
      case 'function':
      case 'symbol':
        throw new CacheValueError(this.#of, { path, kind: typeof value as 'function' | 'symbol' })
    }
    this.bytes += FIELD_BYTES
    return value
  }

  #cloneObject(value: object, depth: number, path: string): unknown {
    if (depth > MAX_DEPTH) throw new CacheValueError(this.#of, { path: '', kind: 'too-deep' })
    this.bytes += OBJECT_BYTES
    if (Array.isArray(value)) {
      return Object.freeze(value.map((item, index) => this.clone(item, depth + 1, `${path}[${index}]`)))
    }
    if (isPlain(value)) return this.#clonePlain(value as Record<string, unknown>, depth, path)
    return this.#cloneMutable(value, depth, path)
  }

  #clonePlain(value: Record<string, unknown>, depth: number, path: string): unknown {
    const clone: Record<string, unknown> = Object.getPrototypeOf(value) === null ? Object.create(null) : {}
    for (const name of Object.keys(value)) {
      this.bytes += FIELD_BYTES
      setField(clone, name, this.clone(value[name], depth + 1, `${path}.${name}`))
    }
    return Object.freeze(clone)
  }

  #cloneMutable(value: object, depth: number, path: string): unknown {
    this.isMutable = true
    if (value instanceof Date) return new Date(value)
    if (value instanceof Map) {
      const inside = `${path}.<map>`
      return new Map(
        [...value].map(([key, item]) => [this.clone(key, depth + 1, inside), this.clone(item, depth + 1, inside)]),
      )
    }
    if (value instanceof Set) return new Set([...value].map((item) => this.clone(item, depth + 1, `${path}.<set>`)))
    if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
      this.bytes += value.byteLength
      return cloneBytes(value)
    }
    throw new CacheValueError(this.#of, { path, kind: 'instance', className: value.constructor?.name ?? '' })
  }
}

function cloneBytes(value: ArrayBufferView | ArrayBuffer): unknown {
  if (value instanceof ArrayBuffer) return value.slice(0)
  // `slice` of a Buffer would share its memory.
  if (Buffer.isBuffer(value)) return Buffer.from(value)
  if (value instanceof DataView) {
    return new DataView(value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength))
  }
  return (value as Uint8Array).slice()
}
