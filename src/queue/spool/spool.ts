import { join } from 'node:path'
import { wallClock } from '../../resilience/clock.ts'
import { diskFault } from './disk-fault.ts'
import { setEarlierAside } from './owner-directories.ts'
import { makeDirectory } from './segment-files.ts'
import { encodeHeader } from './segment-format.ts'
import type { Spool, SpoolOptions } from './spool-interface.ts'
import { SpoolWriter } from './spool-writer.ts'

export type { OwnPlace, Place, SplitId, Spool, SpoolOptions, SpoolState } from './spool-interface.ts'

/**
 * Opens the log of one queue of this process. Never throws for a bad disk: it starts degraded then. What an earlier spool of the same owner has left is put where
 * `adopt` finds it.
 */
export function openSpool(options: SpoolOptions): Spool {
  const { directory, queue, owner } = options
  const home = join(directory, queue, owner)
  const header = encodeHeader({ queue, owner, created: wallClock().toISOString() })
  try {
    makeDirectory(home)
    return new SpoolWriter(options, home, header, setEarlierAside(home), null)
  } catch (error) {
    return new SpoolWriter(options, home, header, 0, diskFault(error, home))
  }
}
