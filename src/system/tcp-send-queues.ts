import { readlinkSync } from 'node:fs'
import { readFile } from 'node:fs/promises'

const TABLES = ['/proc/self/net/tcp', '/proc/self/net/tcp6']
const SOCKET = /^socket:\[(\d+)\]$/

/**
 * Bytes in the send queues of TCP connections that their peers have not acknowledged; undefined
 * where this is not known: on systems other than Linux, for other sockets, and without permission
 * to read `/proc`. Never rejects.
 *
 * Node does not tell them. The kernel prints a table of all connections (proc_pid_net(5)), so this
 * is for rare questions.
 *
 * @param descriptors of sockets; -1 for none
 */
export async function unacknowledgedBytes(descriptors: readonly number[]): Promise<(number | undefined)[]> {
  const inodes = descriptors.map(inodeOf)
  const tables = inodes.some((inode) => inode !== undefined) ? await Promise.all(TABLES.map(readTable)) : []
  return inodes.map((inode) => {
    if (inode === undefined) return undefined
    for (const table of tables) {
      const bytes = sendQueueOf(table, inode)
      if (bytes !== undefined) return bytes
    }
    return undefined
  })
}

function inodeOf(descriptor: number): string | undefined {
  if (process.platform !== 'linux' || descriptor < 0) return undefined
  try {
    return SOCKET.exec(readlinkSync(`/proc/self/fd/${descriptor}`))?.[1]
  } catch {
    return undefined
  }
}

async function readTable(path: string): Promise<string> {
  try {
    return await readFile(path, 'latin1')
  } catch {
    return ''
  }
}

/**
 * Fields of a line: number, two addresses, state, `tx_queue:rx_queue`, timer, retransmits, uid,
 * timeout, inode.
 */
function sendQueueOf(table: string, inode: string): number | undefined {
  const wanted = ` ${inode} `
  for (let at = table.indexOf(wanted); at !== -1; at = table.indexOf(wanted, at + 1)) {
    const fields = table
      .slice(table.lastIndexOf('\n', at) + 1, at + wanted.length)
      .trim()
      .split(/ +/)
    if (fields.length === 10 && fields[9] === inode) return Number.parseInt(fields[4]?.split(':')[0] ?? '', 16)
  }
  return undefined
}
