/** What the servers of one run share. */
export interface Backends {
  readonly postgres: string
  readonly redis: string
}

/** A real server, and what is asked of it. */
export interface ServerDefinition {
  /** `nestjs-fastify`: names it on the command line. */
  readonly name: string
  /** In the table. */
  readonly title: string
  /** Its folder in `servers`, if not `name`. */
  readonly folder?: string
  /** Packages whose versions the table shows. */
  readonly packages: readonly string[]
  /** Relative to the folder. Default: `app.mjs`. */
  readonly entry?: string
  /** Arguments of the app. */
  readonly args?: (port: number) => readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Modules to preload with `--import`. */
  readonly imports?: readonly string[]
  /** Modules to preload with `-r`. */
  readonly requires?: readonly string[]
  readonly backends?: readonly (keyof Backends)[]
  /**
   * Settings that it needs under `punctual run`, and why, for the table. Two workers and the
   * defaults are used otherwise.
   */
  readonly settings?: Readonly<Record<string, string | number>>
  readonly note?: string
  /** Events of warnings that are right for this app, such as a notice of state in the process. */
  readonly warns?: readonly string[]
  /** Answered with 200 once it serves; requested throughout the reload. Default: `/`. */
  readonly path?: string
  /** It has no HTTP port: `client.mjs` sends the load as well. */
  readonly ownLoad?: boolean
  /** Of a handler that blocks for 20 s. `false`: none can be planted. Default: `/spin`. */
  readonly spin?: string | false
  /** What its clean-up prints; `false`: none can be seen. Default: `clean-up done`. */
  readonly cleanUp?: string | false
}

/** Requests during a reload, by HTTP or by the app's own client. */
export interface Requests {
  /** Waits until there were enough of them to mean something. */
  enough?(): Promise<void>
  stop(): Promise<{ readonly total: number; readonly failed: readonly string[] }>
}
