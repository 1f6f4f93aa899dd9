// A reporter for `node --test` that keeps only what failed. Written to a file, it can be told again at the end of a long output.
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
    // Of a suite it is told by its tests.
    if (details.error.failureType === 'subtestsFailed') continue
    yield `✖ ${name} (${file}:${line})\n${inspect(details.error.cause ?? details.error)}\n\n`
  }
}
