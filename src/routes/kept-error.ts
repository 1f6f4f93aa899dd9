import { after } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'

/** What Node keeps it gives at once; a module that takes longer still waits for something at its top level. */
const ANSWER_LIMIT = ms(100)

/** How Node can be asked about modules. */
interface KnownModules {
  /** Imports it as it was imported when the load failed. */
  ask(module: string): Promise<unknown>
  /** What it imports, in its own order. */
  importsOf(module: string): Iterable<string>
}

interface FailedModule {
  /** The module that threw while it was evaluated. */
  readonly thrower: string
  /** Those that were found to be evaluated well; they may have led to it by calling `import()`. */
  readonly sound: ReadonlySet<string>
}

/**
 * The module that threw while it was evaluated, found by asking Node, which keeps that error and gives the very same to whoever imports the module again,
 * or one that imports it. A stack does not tell: that of a connection that was refused names no module, and that of a plugin that failed names one which
 * was evaluated well.
 *
 * Modules are asked for in the order in which they are imported, and no further than needed: what stands behind a module that threw may not have been
 * evaluated, and asking for it would do that.
 *
 * @param error what came of the load; its causes count as well
 * @param modules where to begin
 * @returns undefined when no module has thrown it
 */
export async function failedModule(
  error: unknown,
  modules: Iterable<string>,
  known: KnownModules,
): Promise<FailedModule | undefined> {
  const errors = withCauses(error)
  const asked = new Set<string>()
  const sound = new Set<string>()
  const search = async (among: Iterable<string>): Promise<string | undefined> => {
    for (const module of among) {
      if (asked.has(module)) continue
      asked.add(module)
      const answer = await answerOf(known.ask(module), errors)
      if (answer === 'other') continue
      if (answer === 'sound') sound.add(module)
      const inner = await search(known.importsOf(module))
      if (inner !== undefined || answer === 'kept') return inner ?? module
    }
    return undefined
  }
  const thrower = await search(modules)
  return thrower === undefined ? undefined : { thrower, sound }
}

/** Whether it is evaluated well, has thrown one of these errors, or neither: another one, or it is not evaluated yet. */
function answerOf(asked: Promise<unknown>, errors: ReadonlySet<unknown>): Promise<'sound' | 'kept' | 'other'> {
  return new Promise((resolve) => {
    const cancel = after(ANSWER_LIMIT, () => resolve('other'))
    asked
      .then(
        () => resolve('sound'),
        (error: unknown) => resolve(errors.has(error) ? 'kept' : 'other'),
      )
      .finally(cancel)
  })
}

function withCauses(error: unknown): ReadonlySet<unknown> {
  const errors = new Set<unknown>()
  for (let one = error; one !== undefined && !errors.has(one); one = one instanceof Error ? one.cause : undefined) {
    errors.add(one)
  }
  return errors
}
