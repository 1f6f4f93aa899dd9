/**
 * Node's HTTP module, without `import`: that would read every export of the module, some of which
 * (`WebSocket`, `MessageEvent`) load a whole HTTP client, 14 MB that the app may never use.
 */
export const http: typeof import('node:http') = process.getBuiltinModule('node:http')
