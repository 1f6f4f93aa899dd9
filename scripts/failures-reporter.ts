// A reporter for `node --test` that prints only failures, so that they can be repeated at the end.
import { inspect } from 'node:util'

interface Failed {
  readonly type: 'test:fail'
  readonly data: {
    readonly name: string
    readonly file?: string
    readonly line?: number
    readonly details: { readonly error: Error & { readonly failureType?: unknown } }
  }
}

export default async function* failures(
  source: AsyncIterable<Failed | { readonly type: string }>,
): AsyncGenerator<string> {
  for await (const event of source) {
    if (event.type !== 'test:fail') continue
    const { name, file, line, details } = (event as Failed).data
    // The tests of a suite report its failures.
    if (details.error.failureType === 'subtestsFailed') continue
    yield `✖ ${name} (${file}:${line})\n${inspect(details.error.cause ?? details.error)}\n\n`
  }
}
