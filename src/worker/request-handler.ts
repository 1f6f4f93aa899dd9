/** Names of the first parameter of plugins and factories. */
const NOT_A_REQUEST = /^(?:fastify|instance|app|server|opts?|options|config|settings|deps|dependencies)$/i
/** What `fastify-plugin` marks its functions with. */
const PLUGIN_MARKS = ['plugin-meta', 'skip-override', 'fastify.display-name'].map((name) => Symbol.for(name))

/**
 * Why a function is not a request handler, as `(request, response) => …` or an Express app is; null
 * if it may be one. Classes, factories and Fastify plugins are functions, too.
 */
export function whyNoHandler(exported: object): 'a class' | 'a factory' | 'a plugin' | null {
  const text = Function.prototype.toString.call(exported)
  if (
    /^class\b/.test(text) ||
    Object.getOwnPropertyNames((exported as { readonly prototype?: object }).prototype ?? {}).length > 1
  )
    return 'a class'
  if (PLUGIN_MARKS.some((mark) => mark in exported)) return 'a plugin'
  // Bound functions and proxies show nothing of their parameters.
  if (text.includes('[native code]')) return null
  const first = firstParameter(text)
  if (first === '') return /\barguments\b/.test(text) ? null : 'a factory'
  if (first.startsWith('{')) return 'a factory'
  const [name = ''] = /^[\w$]*/.exec(first) ?? []
  if (!NOT_A_REQUEST.test(name)) return null
  return /^(?:fastify|instance|app|server)$/i.test(name) ? 'a plugin' : 'a factory'
}

/** The text from the first parameter on; empty if there is none. */
function firstParameter(text: string): string {
  const arrow = /^(?:async\s+)?([\w$]+)\s*=>/.exec(text)
  if (arrow !== null) return arrow[1] ?? ''
  const at = text.indexOf('(')
  const parameters = text.slice(at + 1).replace(/^(?:\s|\/\*[\s\S]*?\*\/|\/\/.*\n)*/, '')
  return parameters.startsWith(')') ? '' : parameters
}
