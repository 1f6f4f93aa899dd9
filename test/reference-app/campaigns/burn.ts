/** Holds the thread for so many milliseconds, as a module does that builds tables, compiles schemas and makes clients while it is imported. */
export function burn(milliseconds: number): void {
  const end = performance.now() + milliseconds
  while (performance.now() < end);
}
