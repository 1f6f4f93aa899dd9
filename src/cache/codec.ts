import { isPlain, setField } from './freeze-clone.ts'

/** Encoding of values in Redis. */
export interface CacheCodec {
  encode(value: unknown): string
  /** If it throws, the value counts as a miss. */
  decode(text: string): unknown
}

/** Marks values that JSON cannot represent. An object that has a field of this name is wrapped. */
const TYPE = '$type'

/** JSON that keeps dates, bigints, maps, sets, bytes, `undefined`, infinities, NaN and -0. */
export const jsonCodec: CacheCodec = {
  encode: (value) => JSON.stringify(toJson(value)),
  decode: (text) => fromJson(JSON.parse(text)),
}

function toJson(value: unknown): unknown {
  switch (typeof value) {
    case 'bigint':
      return { [TYPE]: 'bigint', value: String(value) }
    case 'undefined':
      return { [TYPE]: 'undefined' }
    case 'number':
      if (Number.isFinite(value) && !Object.is(value, -0)) return value
      return { [TYPE]: 'number', value: Object.is(value, -0) ? '-0' : String(value) }
    case 'object':
      return value === null ? null : objectToJson(value)
    default:
      return value
  }
}

function objectToJson(value: object): unknown {
  if (Array.isArray(value)) return value.map(toJson)
  if (isPlain(value)) {
    const fields: Record<string, unknown> = {}
    for (const name of Object.keys(value)) setField(fields, name, toJson((value as Record<string, unknown>)[name]))
    return Object.hasOwn(value, TYPE) ? { [TYPE]: 'object', value: fields } : fields
  }
  if (value instanceof Date) return { [TYPE]: 'date', value: value.getTime() }
  if (value instanceof Map) {
    return { [TYPE]: 'map', value: [...value].map(([key, item]) => [toJson(key), toJson(item)]) }
  }
  if (value instanceof Set) return { [TYPE]: 'set', value: [...value].map(toJson) }
  return { [TYPE]: 'bytes', kind: bytesKind(value), value: bytesOf(value).toString('base64') }
}

function fromJson(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(fromJson)
  const fields = value as Record<string, unknown>
  return Object.hasOwn(fields, TYPE) ? special(fields) : plainFromJson(fields)
}

function plainFromJson(fields: Record<string, unknown>): unknown {
  const copy: Record<string, unknown> = {}
  for (const name of Object.keys(fields)) setField(copy, name, fromJson(fields[name]))
  return copy
}

function special(fields: Record<string, unknown>): unknown {
  const { value } = fields
  switch (fields[TYPE]) {
    case 'bigint':
      return BigInt(value as string)
    case 'undefined':
      return undefined
    case 'number':
      return Number(value)
    case 'object':
      return plainFromJson(value as Record<string, unknown>)
    case 'date':
      return new Date(value === null ? Number.NaN : (value as number))
    case 'map':
      return new Map((value as [unknown, unknown][]).map(([key, item]) => [fromJson(key), fromJson(item)]))
    case 'set':
      return new Set((value as unknown[]).map(fromJson))
    case 'bytes':
      return bytesFrom(String(fields.kind), Buffer.from(value as string, 'base64'))
    default:
      throw new TypeError(`"${String(fields[TYPE])}" is not a type of this version`)
  }
}

const KINDS: Readonly<Record<string, new (buffer: ArrayBuffer) => ArrayBufferView>> = {
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
}

function bytesKind(value: object): string {
  return Buffer.isBuffer(value) ? 'Buffer' : value.constructor.name
}

function bytesOf(value: object): Buffer {
  return ArrayBuffer.isView(value)
    ? Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    : Buffer.from(value as ArrayBuffer)
}

function bytesFrom(kind: string, bytes: Buffer): unknown {
  if (kind === 'Buffer') return bytes
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer
  if (kind === 'ArrayBuffer') return buffer
  const Kind = Object.hasOwn(KINDS, kind) ? KINDS[kind] : undefined
  if (Kind === undefined) throw new TypeError(`"${kind}" is not a kind of bytes`)
  return new Kind(buffer)
}
