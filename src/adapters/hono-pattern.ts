/** What is used of a route of Hono's. */
export interface HonoRouteLike {
  readonly path: string
  readonly method: string
  readonly handler: HonoHandlerLike
}

export interface HonoHandlerLike {
  readonly length: number
  readonly __COMPOSED_HANDLER?: HonoHandlerLike
}

/** Of all that matches, the last that is no middleware: that takes `next` as its second parameter, and `app.use` adds it for all methods. */
export function patternOf(routes: readonly HonoRouteLike[]): string | null {
  const handler = routes.findLast((route) => innermost(route.handler).length < 2)
  return (handler ?? routes.findLast(({ method }) => method !== 'ALL'))?.path ?? null
}

/** Hono wraps the handlers of a mounted app that has an error handler of its own. */
function innermost(handler: HonoHandlerLike): HonoHandlerLike {
  const { __COMPOSED_HANDLER: inner } = handler
  return inner === undefined ? handler : innermost(inner)
}
