/**
 * What the app of a page has: a block may use these names without declaring them, and is then only
 * type-checked. It is text, so that the names are not global in the repository.
 */
export const PRELUDE = `
declare const pool: import('pg').Pool
declare const redis: import('ioredis').Redis
declare const log: Record<'debug' | 'info' | 'warn' | 'error', (fields: object, message: string) => void>
declare const rows: { id: number }[]
declare function handler(): Promise<unknown>
declare function work(): Promise<unknown>
declare function render(rows: unknown[]): string
declare function insertAll(items: readonly unknown[]): Promise<void>
declare function sendAll(items: readonly unknown[]): Promise<void>
declare function findUser(id: string): Promise<{ id: string } | undefined>
declare function fetchUser(id: string, signal: AbortSignal): Promise<User>
declare function findTests(ids: readonly number[]): Promise<Map<number, unknown[]>>
declare function listReferrals(options: { limit: number }): Promise<unknown[]>
interface User { id: string }
declare module '*/router.ts' { const router: () => void; export default router }
declare module '*/hono-app.ts' { export { Hono as default } from 'hono' }
declare module '*/handler.ts' { const handler: import('punctual/routes').Handler; export default handler }
declare module 'koa' { export default class Koa { use(middleware: unknown): void } }
declare module 'express' {
  interface Request { params: Record<string, string> }
  interface Response { send(body: unknown): void }
  interface App {
    use(...handlers: unknown[]): void
    get(path: string, handler: (request: Request, response: Response) => void): void
    listen(port: unknown): void
  }
  export default function express(): App
}
`

/** The names that `PRELUDE` declares. */
export const PRELUDE_NAMES: readonly string[] = [...PRELUDE.matchAll(/^declare (?:const|function) (\w+)/gm)].map(
  ([, name = '']) => name,
)
