/** A database's URL without what the sessions of a release say themselves. */
export interface SessionUrl {
  readonly url: string
  /** What it had under `options`, for the server: `-c search_path=app`. */
  readonly options: string
}

/**
 * Takes `application_name` and `options` out of a URL. What stands there goes before all else, to `pg` as to libpq: sessions would not be known by the
 * name by which they are looked for, and wait for locks without a limit.
 */
export function sessionUrl(written: string, ...without: readonly string[]): SessionUrl {
  const url = new URL(written)
  const options = url.searchParams.get('options') ?? ''
  for (const name of ['application_name', 'options', ...without]) url.searchParams.delete(name)
  // To libpq a plus is a plus.
  url.search = url.search.replaceAll('+', '%20')
  return { url: url.href, options }
}
