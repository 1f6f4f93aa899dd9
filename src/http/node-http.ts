/**
 * Node's HTTP, taken without `import`: an `import 'node:http'` reads every name the module exports,
 * and some of them (`WebSocket`, `MessageEvent`) load a whole HTTP client at the first look, 14 MB
 * of resident memory that an app may never use.
 */
export const http: typeof import('node:http') = process.getBuiltinModule('node:http')
