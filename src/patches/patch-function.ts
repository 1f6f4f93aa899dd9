type AnyFunction = (this: unknown, ...args: unknown[]) => unknown

/** An operation that was recorded when a call started it. */
export interface Operation {
  end(): void
}

/** Records what a call with these arguments starts; returns null if it is not to be observed. */
export type Begin = (name: string, args: readonly unknown[], self: unknown) => Operation | null

/**
 * Replaces a function, and keeps its name, its length and its properties, such as
 * `util.promisify.custom`. Does nothing if this version of Node has no such function.
 */
export function patchFunction(holder: object, name: string, make: (base: AnyFunction) => AnyFunction): void {
  const place = Object.getOwnPropertyDescriptor(holder, name)
  if (place === undefined || typeof place.value !== 'function' || place.configurable !== true) return
  const base = place.value as AnyFunction
  const patched = make(base)
  const { prototype: _, ...marks } = Object.getOwnPropertyDescriptors(base) as PropertyDescriptorMap
  Object.defineProperties(patched, marks)
  Object.defineProperty(holder, name, { ...place, value: patched })
}

/** Patches functions that take a callback as their last argument, such as `fs.readFile`. */
export function patchCallbacks(holder: object, names: readonly string[], begin: Begin): void {
  for (const name of names) {
    patchFunction(
      holder,
      name,
      (base) =>
        function (this: unknown, ...args: unknown[]): unknown {
          const last = args.length - 1
          const callback = args[last]
          if (typeof callback !== 'function') return base.apply(this, args)
          const operation = begin(name, args, this)
          if (operation === null) return base.apply(this, args)
          args[last] = function (this: unknown, ...results: unknown[]): unknown {
            operation.end()
            return (callback as AnyFunction).apply(this, results)
          }
          return callOrEnd(base, this, args, operation)
        },
    )
  }
}

/** Patches functions that return a promise, such as `fs.promises.readFile`. */
export function patchPromises(holder: object, names: readonly string[], begin: Begin): void {
  for (const name of names) {
    patchFunction(
      holder,
      name,
      (base) =>
        function (this: unknown, ...args: unknown[]): unknown {
          const operation = begin(name, args, this)
          if (operation === null) return base.apply(this, args)
          const result = callOrEnd(base, this, args, operation)
          if (!(result instanceof Promise)) {
            operation.end()
            return result
          }
          // The derived promise is returned, so that an unhandled rejection is still reported.
          return result.then(
            (value: unknown) => {
              operation.end()
              return value
            },
            (error: unknown) => {
              operation.end()
              throw error
            },
          )
        },
    )
  }
}

/** A call that throws, because of invalid arguments, has started nothing. */
function callOrEnd(base: AnyFunction, self: unknown, args: unknown[], operation: Operation): unknown {
  try {
    return base.apply(self, args)
  } catch (error) {
    operation.end()
    throw error
  }
}

/** Defines a method as the classes of Node have theirs: writable, configurable, not enumerable. */
export function defineMethod(holder: object, name: string, value: unknown): void {
  Object.defineProperty(holder, name, { value, writable: true, configurable: true, enumerable: false })
}
