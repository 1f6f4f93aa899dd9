/** The flags of `node --permission` that this process lacks, as the operator writes them. */
export function missingPermissions(needs: {
  /** Files and directories to read, with all that is in them. */
  readonly read: readonly string[]
  readonly write: readonly string[]
}): readonly string[] {
  const { permission } = process
  if (permission === undefined) return []
  return [
    ...needs.read.filter((path) => !permission.has('fs.read', path)).map((path) => `--allow-fs-read=${path}`),
    ...needs.write.filter((path) => !permission.has('fs.write', path)).map((path) => `--allow-fs-write=${path}`),
    ...(permission.has('child') ? [] : ['--allow-child-process']),
    ...(permission.has('worker') ? [] : ['--allow-worker']),
    // Node 26 restricts the network too; older versions do not know the word.
    ...(process.allowedNodeEnvironmentFlags.has('--allow-net') && !permission.has('net') ? ['--allow-net'] : []),
  ]
}

/** Whether the inspector may be used; without it there are no stacks and no interrupts. */
export function mayInspect(): boolean {
  return process.permission === undefined || process.permission.has('inspector')
}
