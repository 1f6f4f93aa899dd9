/** What is to be invalidated: keys, tags, or everything. */
export interface Drop {
  readonly keys: readonly string[]
  readonly tags: readonly string[]
  readonly all: boolean
}

export const DROP_ALL: Drop = { keys: [], tags: [], all: true }

export function dropOfKey(key: string): Drop {
  return { keys: [key], tags: [], all: false }
}

export function dropOfTag(tag: string): Drop {
  return { keys: [], tags: [tag], all: false }
}

/** What another process has sent; null for what is none. */
export function readDrop(value: unknown): Drop | null {
  if (typeof value !== 'object' || value === null) return null
  const { keys, tags, all } = value as Partial<Record<string, unknown>>
  return isTexts(keys) && isTexts(tags) && typeof all === 'boolean' ? { keys, tags, all } : null
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}
