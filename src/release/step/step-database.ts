/** The database of a step that is a function: one session, opened when it is first asked. */
export interface StepDatabase {
  query(text: string, values: readonly unknown[]): Promise<{ readonly rows: readonly Record<string, unknown>[] }>
  begin(): Promise<void>
  /** Marks the step as applied; false if it is already. */
  mark(run: string): Promise<boolean>
  unmark(): Promise<void>
  commit(): Promise<void>
  rollback(): Promise<void>
  /** Never rejects. */
  close(): Promise<void>
}
