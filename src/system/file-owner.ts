import { lstatSync, type Stats, statSync } from 'node:fs'
import { dirname } from 'node:path'

const WRITABLE_BY_OTHERS = 0o002
const STICKY = 0o1000

/**
 * Why another user may have written this file, as the end of a sentence about it; null if only its
 * owner and root can, and the owner is this user or root. Code from it would run with the rights of
 * this user. Where there are no user ids (Windows), null.
 *
 * @throws the error of the file system
 */
export function whyForeign(path: string): string | null {
  const user = process.geteuid?.()
  if (user === undefined) return null
  const isForeign = ({ uid }: Stats): boolean => uid !== user && uid !== 0
  const file = statSync(path)
  if (isForeign(file)) return `belongs to another user (uid ${file.uid})`
  if ((file.mode & WRITABLE_BY_OTHERS) !== 0) return 'can be written by every user'
  const link = lstatSync(path)
  if (isForeign(link)) return `is a link of another user (uid ${link.uid})`
  // A user who may write to the directory can put another file in the place of this one.
  const directory = statSync(dirname(path))
  if (isForeign(directory)) return `is in a directory of another user (uid ${directory.uid})`
  const isOpen = (directory.mode & WRITABLE_BY_OTHERS) !== 0 && (directory.mode & STICKY) === 0
  return isOpen ? 'is in a directory that every user can write to' : null
}
