import { createHash } from 'node:crypto'

/** A script as Redis runs it: at once, with nothing in between. */
export interface RedisScript {
  readonly text: string
  readonly hash: string
}

function script(text: string): RedisScript {
  return { text, hash: createHash('sha1').update(text).digest('hex') }
}

/*
 * The keys of a cache, all in one slot of a cluster if its prefix has a hash tag:
 *   value    a hash: v what was encoded, e the epoch it is valid in, n how long it lives, a whether there is nothing, d how long its load took,
 *            t which tags had which marks
 *   lease    the token of who loads this key, for so long
 *   epoch    a random word that begins with the run of the server: what was stored in another epoch is not there. Deleting it drops everything.
 *   any tag  a random word, deleted with every tag, so that loads begun before cannot be stored
 *   tag      a random word for each tag; deleting it drops what was stored with it
 *   tags     what the keys of tags begin with: as a key, because a client may put a prefix of its own before all of them
 *
 * Everything is invalidated by deleting, which Redis does also when it has no memory left. What was evicted or flushed is a miss.
 */

/** What reading and taking a lease have in common. The epoch of another run of the server (a restart from an old snapshot, a failover) is none. */
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
 * Reads a value and, where it is not there or no longer fresh, takes the lease in the same go.
 *
 * KEYS value, lease, epoch, any tag, tags. ARGV run, fresh for, fresh for if there is nothing, token, lease in ms, new epoch, whether there are tags.
 * Returns value or false, its age in ms, whether there is nothing, how long its load took, lease (0 none, 1 taken, 2 somebody has it,
 * 3 Redis cannot), epoch, mark of any tag.
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
 * Takes the lease from whoever has it, drops the value, and tells everybody; for a value that the app sets.
 *
 * KEYS value, lease, epoch, any tag. ARGV run, channel, message, token, lease in ms, new epoch, whether there are tags. Returns lease, epoch, mark.
 */
export const TAKE: RedisScript = script(`${EPOCH}
redis.call('DEL', KEYS[1], KEYS[2])
redis.call('PUBLISH', ARGV[2], ARGV[3])
local lease, found, mark = take(KEYS, epoch(KEYS[3], ARGV[1]), ARGV[4], ARGV[5], ARGV[6], ARGV[7] == '1')
return {lease, found, mark}
`)

/**
 * Stores a value for who still has the lease, if nothing was invalidated since it was taken.
 *
 * KEYS value, lease, epoch, any tag, tags. ARGV token, epoch, mark of any tag, value, life in ms, whether there is nothing, how long its load took,
 * tags... Returns 1 if it was stored.
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

/** Gives leases back. KEYS leases. ARGV the token of each. */
export const RELEASE: RedisScript = script(`
for index, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[index] then redis.call('DEL', key) end
end
return 1
`)

/** Deletes, and tells everybody. KEYS what to delete. ARGV channel, message. */
export const DROP: RedisScript = script(`
redis.call('DEL', unpack(KEYS))
return redis.call('PUBLISH', ARGV[1], ARGV[2])
`)
