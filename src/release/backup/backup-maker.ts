/** Makes copies of one database, and puts them back. */
export interface BackupMaker {
  /** Of its files: `dump`. */
  readonly extension: string
  /**
   * Looks whether a back-up could be made: the programs are there and fit, the server answers. Said at every start, not only when it is needed.
   *
   * @throws Error that says what is missing
   */
  check(): Promise<void>
  /** Bytes that a copy may need; null where that cannot be known. */
  size(): Promise<number | null>
  /**
   * Writes the file, and reads it back.
   *
   * @throws Error that says what failed
   */
  make(path: string, signal: AbortSignal): Promise<void>
  /** Puts a copy in the place of what is there, all of it or nothing. */
  restore(path: string, signal: AbortSignal): Promise<void>
  /**
   * How many others use the database now; null for a kind of database that does not tell.
   *
   * @throws Error if one that does could not be asked
   */
  others(): Promise<number | null>
}
