/** What a loaded module exports as its default. CommonJS compiled from TypeScript has it one level deeper; a loader may also give the thing itself. */
export function exportOf(loaded: unknown): unknown {
  let found = loaded
  for (let level = 0; level < 2; level++) {
    if (!hasDefault(found)) break
    found = found.default
  }
  return found
}

function hasDefault(value: unknown): value is { readonly default: unknown } {
  return typeof value === 'object' && value !== null && 'default' in value
}
