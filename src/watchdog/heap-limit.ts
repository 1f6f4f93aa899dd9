import { getHeapStatistics } from 'node:v8'

const FLAG = /--max[-_]old[-_]space[-_]size[= ](\d+)/g

/**
 * Bytes at which the heap of this process is full. V8's own figure counts the space for young objects in, which is of no help to a heap that is
 * full of old ones: under `--max-old-space-size=48` it says 240 MiB. So the flag counts, where there is one.
 *
 * @param flags Node's flags, as from a command line or `NODE_OPTIONS`
 */
export function heapLimit(flags: readonly string[]): number {
  const megabytes = [...flags.join(' ').matchAll(FLAG)].at(-1)?.[1]
  const limit = getHeapStatistics().heap_size_limit
  return megabytes === undefined ? limit : Math.min(limit, Number(megabytes) * 1024 * 1024)
}
