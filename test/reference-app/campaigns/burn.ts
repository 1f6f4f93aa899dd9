/**
 * Blocks the thread for some milliseconds, like a module that builds tables, compiles schemas and
 * creates clients while it is imported.
 */
export function burn(milliseconds: number): void {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}
