import { createHash } from 'node:crypto'
import type { Invalidation } from '../invalidation.ts'

/** A Lua script, which Redis runs atomically. */
export interface RedisScript {
  readonly text: string
  readonly hash: string
}

function script(text: string): RedisScript {
  return { text, hash: createHash('sha1').update(text).digest('hex') }
}

/**
 * The keys of one cache, `punctual:<prefix>:…`, which no key of the app is likely to begin with.
 * They are all in one slot of a cluster if the prefix has a hash tag.
 *
 * Everything is invalidated by `DEL`, which Redis accepts even when it is out of memory. A key that
 * was evicted or flushed is a miss.
 */
export class RedisKeys {
  readonly #prefix: string

  constructor(prefix: string) {
    this.#prefix = `punctual:${prefix}:`
  }

  /**
   * A hash: `v` the encoded value, `e` the epoch it is valid in, `n` its life in ms, `a` whether
   * the source has no value, `d` the duration of its load in ms, `t` its tags with their marks.
   */
  value(key: string): string {
    return `${this.#prefix}value:${key}`
  }

  /** The token of the process that loads the key. */
  lease(key: string): string {
    return `${this.#prefix}lease:${key}`
  }

  /**
   * A random word that begins with the run of the server. Values of another epoch are ignored, so
   * deleting it invalidates everything.
   */
  get #epoch(): string {
    return `${this.#prefix}epoch`
  }

  /** A random word, deleted with every tag, so that loads that began before cannot be stored. */
  get #anyTag(): string {
    return `${this.#prefix}tags`
  }

  /** A random word. Deleting it invalidates the values that were stored with it. */
  #tag(tag: string): string {
    return `${this.#prefix}tag:${tag}`
  }

  /** Never exists. Deleting it shows whether Redis accepts writes. */
  get probe(): string {
    return `${this.#prefix}probe`
  }

  /** KEYS of the scripts for one key: value, lease, epoch, any tag, and the prefix of tags. */
  allOf(key: string): readonly string[] {
    // The prefix of tags is a key, because a client may put a prefix before all keys.
    return [this.value(key), this.lease(key), this.#epoch, this.#anyTag, this.#tag('')]
  }

  /** KEYS of `INVALIDATE`. */
  deletedBy({ keys, tags, all }: Invalidation): readonly string[] {
    return [
      ...keys.flatMap((key) => [this.value(key), this.lease(key)]),
      ...tags.map((tag) => this.#tag(tag)),
      ...(tags.length > 0 ? [this.#anyTag] : []),
      ...(all ? [this.#epoch] : []),
    ]
  }
}

/** Functions of READ and TAKE. The epoch of another run of the server is ignored. */
const EPOCH = `
local function epoch(key, run)
  local found = redis.call('GET', key)
  if found and string.sub(found, 1, #run) == run then return found end
  return false
end
local function take(keys, found, token, ms, fresh, tagged)
  local set = redis.pcall('SET', keys[2], token, 'NX', 'PX', ms)
  if not set then return 2, found, '' end
  if set.err then return 3, found, '' end
  if not found then
    found = fresh
    if redis.pcall('SET', keys[3], found).err then
      redis.call('DEL', keys[2])
      return 3, false, ''
    end
  end
  local mark = ''
  if tagged then
    mark = redis.call('GET', keys[4])
    if not mark then
      mark = token
      if redis.pcall('SET', keys[4], mark).err then
        redis.call('DEL', keys[2])
        return 3, found, ''
      end
    end
  end
  return 1, found, mark
end
`

/**
 * Reads a value and, if it is missing or too old, takes the lease.
 *
 * KEYS value, lease, epoch, any tag, prefix of tags. ARGV epoch prefix, max age in ms, max age of
 * an absent value, token, lease time in ms, new epoch, whether the cache has tags. Returns value or
 * false, its age in ms, whether it is absent, duration of its load, lease (0 not needed, 1 taken, 2
 * held by another process, 3 Redis is out of memory), epoch, mark of any tag.
 */
export const READ: RedisScript = script(`${EPOCH}
local found = epoch(KEYS[3], ARGV[1])
local kept = redis.call('HMGET', KEYS[1], 'v', 'e', 'n', 'a', 'd', 't')
local value = kept[1]
local age = 0
if value and (not found or kept[2] ~= found) then value = false end
if value and kept[6] then
  for tag, mark in pairs(cjson.decode(kept[6])) do
    if redis.call('GET', KEYS[5] .. tag) ~= mark then value = false end
  end
end
if value then age = tonumber(kept[3]) - redis.call('PTTL', KEYS[1]) end
local fresh = ARGV[2]
if kept[4] == '1' then fresh = ARGV[3] end
local lease, mark = 0, ''
if not value or age >= tonumber(fresh) then
  lease, found, mark = take(KEYS, found, ARGV[4], ARGV[5], ARGV[6], ARGV[7] == '1')
end
return {value, tostring(age), kept[4], kept[5], lease, found, mark}
`)

/**
 * Deletes the value, publishes the invalidation and takes the lease, even if another process has
 * it.
 *
 * KEYS as READ. ARGV epoch prefix, channel, message, token, lease time in ms, new epoch, whether
 * the cache has tags. Returns lease, epoch, mark of any tag.
 */
export const TAKE: RedisScript = script(`${EPOCH}
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('PUBLISH', ARGV[2], ARGV[3])
local lease, found, mark = take(KEYS, epoch(KEYS[3], ARGV[1]), ARGV[4], ARGV[5], ARGV[6], ARGV[7] == '1')
return {lease, found, mark}
`)

/**
 * Stores a value for the holder of the lease, if nothing was invalidated since it was taken.
 *
 * KEYS as READ. ARGV token, epoch, mark of any tag, value, life in ms, whether it is absent,
 * duration of its load, tags... Returns 1 if it was stored.
 */
export const STORE: RedisScript = script(`
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
if redis.call('GET', KEYS[3]) ~= ARGV[2] then return 0 end
local life = tonumber(ARGV[5])
local marks = {}
if #ARGV > 7 then
  if redis.call('GET', KEYS[4]) ~= ARGV[3] then return 0 end
  for index = 8, #ARGV do
    local key = KEYS[5] .. ARGV[index]
    local mark = redis.call('GET', key)
    if not mark then
      mark = ARGV[1]
      redis.call('SET', key, mark, 'PX', 1000)
    end
    local left = redis.call('PTTL', key)
    if left >= 0 and left < life + 1000 then redis.call('PEXPIRE', key, life + 1000) end
    marks[ARGV[index]] = mark
  end
end
redis.call('HSET', KEYS[1], 'v', ARGV[4], 'e', ARGV[2], 'n', ARGV[5], 'a', ARGV[6], 'd', ARGV[7])
if next(marks) then redis.call('HSET', KEYS[1], 't', cjson.encode(marks)) end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
`)

/** Releases leases. KEYS leases. ARGV their tokens. */
export const RELEASE: RedisScript = script(`
for index, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[index] then redis.call('DEL', key) end
end
return 1
`)

/** Deletes keys and publishes the invalidation. KEYS to delete. ARGV channel, message. */
export const INVALIDATE: RedisScript = script(`
redis.call('DEL', unpack(KEYS))
return redis.call('PUBLISH', ARGV[1], ARGV[2])
`)
