import type { UnnamedWait } from './unnamed-waits.ts'

type AnyFunction = (this: unknown, ...args: unknown[]) => unknown

/** Says what begins with a call that has these arguments; null when nobody is interested. It is in its list already. */
export type Begin = (name: string, args: readonly unknown[], self: unknown) => UnnamedWait | null

/** Wraps functions that call back when they are done, such as `fs.readFile`. Names that are not there, in this version of Node, are left out. */
export function wrapCallbacks(holder: object, names: readonly string[], begin: Begin): void {
  for (const name of names) {
    wrap(
      holder,
      name,
      (base) =>
        function (this: unknown, ...args: unknown[]): unknown {
          const last = args.length - 1
          const callback = args[last]
          if (typeof callback !== 'function') return base.apply(this, args)
          const wait = begin(name, args, this)
          if (wait === null) return base.apply(this, args)
          args[last] = function (this: unknown, ...results: unknown[]): unknown {
            wait.end()
            return (callback as AnyFunction).apply(this, results)
          }
          return callOrEnd(base, this, args, wait)
        },
    )
  }
}

/** Wraps functions that return a promise, such as `fs.promises.readFile`. */
export function wrapPromises(holder: object, names: readonly string[], begin: Begin): void {
  for (const name of names) {
    wrap(
      holder,
      name,
      (base) =>
        function (this: unknown, ...args: unknown[]): unknown {
          const wait = begin(name, args, this)
          if (wait === null) return base.apply(this, args)
          const result = callOrEnd(base, this, args, wait)
          if (!(result instanceof Promise)) {
            wait.end()
            return result
          }
          // What is returned is what comes after: a rejection that nobody handles must remain one.
          return result.then(
            (value: unknown) => {
              wait.end()
              return value
            },
            (error: unknown) => {
              wait.end()
              throw error
            },
          )
        },
    )
  }
}

/** Puts a function in the place of another, with its name, its length and what hangs on it, such as `util.promisify.custom`. */
export function wrap(holder: object, name: string, make: (base: AnyFunction) => AnyFunction): void {
  const place = Object.getOwnPropertyDescriptor(holder, name)
  if (place === undefined || typeof place.value !== 'function' || place.configurable !== true) return
  const base = place.value as AnyFunction
  const hooked = make(base)
  const { prototype: _, ...marks } = Object.getOwnPropertyDescriptors(base) as PropertyDescriptorMap
  Object.defineProperties(hooked, marks)
  Object.defineProperty(holder, name, { ...place, value: hooked })
}

/** A call that throws, for arguments that do not fit, has begun nothing. */
function callOrEnd(base: AnyFunction, self: unknown, args: unknown[], wait: UnnamedWait): unknown {
  try {
    return base.apply(self, args)
  } catch (error) {
    wait.end()
    throw error
  }
}
