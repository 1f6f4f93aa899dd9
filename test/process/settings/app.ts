import assert from 'node:assert/strict'
import { join } from 'node:path'
import type { SetOutcome, SettingsInForce } from '../../../src/arbiter/arbiter-control.ts'
import type { SettingFault } from '../../../src/settings/settings-error.ts'
import { request } from '../support/client.ts'
import { startServer, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const RUNTIME = join(import.meta.dirname, '../../../src/runtime/runtime-value.ts')

/** An app with two runtime values, one of them declared late. */
const FILES: Readonly<Record<string, string>> = {
  'app.mjs': `
import { existsSync } from 'node:fs'
import http from 'node:http'
import { runtimeTimeout } from ${JSON.stringify(RUNTIME)}
const ttl = runtimeTimeout('cache.auth:user.ttl', process.env.TTL ?? '5m')
let late = null
http.createServer((request, response) => {
  if (request.url === '/hang') return
  if (request.url === '/spin') for (const end = Date.now() + 60_000; Date.now() < end; );
  if (request.url === '/spin-until-released') while (!existsSync('released'));
  if (request.url === '/late') late ??= runtimeTimeout('upstream.limit', '1s')
  response.end(process.pid + ' ' + ttl.value + ' ' + (late?.value ?? 'none'))
}).listen(process.env.PORT, process.env.HOST)
`,
}

export interface RuntimeServerOptions {
  readonly settings?: Readonly<Record<string, string | number>>
  readonly env?: Readonly<Record<string, string>>
}

/** Starts two workers of that app by default. */
export function startRuntimeServer(options: RuntimeServerOptions = {}): Promise<TestServer> {
  return startServer({ files: FILES, settings: { workers: 2, ...options.settings }, env: options.env ?? {} })
}

/** The values of the ready workers: their answers without the pids, once each has answered. */
export async function valuesOf(server: TestServer, path: string = '/'): Promise<string[]> {
  const { workers } = await server.status()
  const seen = new Map<number, string>()
  const serving = workers.filter(({ state }) => state === 'ready').map(({ pid }) => pid ?? 0)
  await until('every worker to have answered', async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => request(`${server.url}${path}`)))
    for (const { body } of answers) seen.set(Number.parseInt(body, 10), body.replace(/^\d+ /, ''))
    return serving.every((pid) => seen.has(pid))
  })
  return serving.map((pid) => seen.get(pid) ?? '')
}

/** Runs a command that must succeed; returns the JSON that it printed. */
export async function done<T = Outcome>(server: TestServer, ...args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await server.command(...args, '--json')
  assert.equal(code, 0, `punctual ${args.join(' ')}: ${stdout}${stderr}`)
  return JSON.parse(stdout) as T
}

/** `punctual config --json` of the server. */
export function config(server: TestServer, ...flags: readonly string[]): Promise<Config> {
  return done<Config>(server, 'config', ...flags)
}

/** Runs a command that must fail with exit code 2; returns the error. */
export async function refused(server: TestServer, ...args: readonly string[]): Promise<Refusal> {
  const result = await server.command(...args, '--json')
  assert.equal(result.code, 2, `punctual ${args.join(' ')}: ${result.stdout}${result.stderr}`)
  assert.equal(result.stdout, '')
  return JSON.parse(result.stderr) as Refusal
}

export type Outcome = Omit<SetOutcome, 'message'>

export interface Config extends SettingsInForce {
  readonly nextStart?: Readonly<Record<string, unknown>>
}

export interface Refusal {
  readonly code: string
  readonly details: {
    readonly faults?: readonly SettingFault[]
    readonly fitting?: Readonly<Record<string, string>> | null
    readonly [fact: string]: unknown
  }
}
