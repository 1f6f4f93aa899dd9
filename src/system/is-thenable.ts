/** Whether awaiting the value would call its `then`. */
export function isThenable(value: unknown): value is PromiseLike<never> {
  return (
    value instanceof Promise ||
    (value !== null &&
      (typeof value === 'object' || typeof value === 'function') &&
      typeof (value as { then?: unknown }).then === 'function')
  )
}
