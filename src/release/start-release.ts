import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import type { ReleaseFailure, ReleaseRecord } from '../diagnostics/release-report.ts'
import { redact } from '../redaction/redaction.ts'
import { after, type Cancel } from '../resilience/clock.ts'
import { ms } from '../resilience/duration.ts'
import { killTree, TREE_VARIABLE } from './kill-tree.ts'
import type { FromRelease, ReleaseEnd, ReleaseLogLine, ReleaseRequest, ToRelease } from './messages.ts'
import { OutputTail } from './output-tail.ts'

const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
/** The entry of its process, in the folder of the code. */
export const RELEASE_ENTRY: string = `release/release-process.${extension}`
const OWN_ENTRY = fileURLToPath(new URL(`../${RELEASE_ENTRY}`, import.meta.url))
/** For connecting, reading and saving records, which the timeouts of the settings do not cover. */
const MARGIN = ms(120_000)
/** From the order to abort until the process and all it started are killed. */
const ABORT_TIMEOUT = ms(10_000)

export interface ReleaseListener {
  readonly onLog: (line: ReleaseLogLine) => void
  readonly onRecord: (version: string, record: ReleaseRecord | null) => void
}

export interface RunningRelease {
  /** Never rejects. */
  readonly ended: Promise<ReleaseEnd>
  /** Aborts the release: kills the running step, rolls back nothing, releases the lock. */
  abort(why: string): void
}

/** Starts a release in its own process, so that the arbiter never loads the app's modules. */
export function startRelease(
  request: ReleaseRequest,
  listener: ReleaseListener,
  entry: string = OWN_ENTRY,
): RunningRelease {
  const mark = randomUUID()
  const child = spawn(process.execPath, [...ownFlags(), entry], {
    cwd: request.cwd,
    env: { ...process.env, [TREE_VARIABLE]: mark },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    serialization: 'advanced',
  })
  const cancels: Cancel[] = []
  const output = new OutputTail((line) =>
    listener.onLog({ level: 'info', fields: { event: 'release-output', line }, message: `release: ${line}` }),
  )
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (chunk: string) => output.add(chunk, name))
  }
  const send = (message: ToRelease): void => {
    if (child.connected) child.send(message, () => {})
  }
  const abort = (why: string): void => {
    send({ type: 'abort', why })
    cancels.push(after(ABORT_TIMEOUT, kill))
  }
  // A killed process cannot kill its steps itself.
  const kill = (): void => void killTree(child, mark, false)

  const ended = new Promise<ReleaseEnd>((resolve) => {
    let reported: ReleaseEnd | null = null
    const finish = (why: string, exit: Pick<ReleaseFailure, 'exitCode' | 'signal'> = {}): void => {
      for (const cancel of cancels) cancel()
      output.end()
      const tail = output.text === '' ? '' : `\n${redact(output.text)}`
      resolve(reported ?? failed(`the release process exited (${why})${tail}`, exit))
    }
    child.on('message', (message: FromRelease) => {
      if (message.type === 'log') listener.onLog(message.line)
      else if (message.type === 'record') listener.onRecord(message.version, message.record)
      else reported = message.end
    })
    child.on('error', (error) => finish(error.message))
    child.on('close', (code, signal) => finish(signal ?? `exit code ${code}`, { exitCode: code, signal }))
    const { releaseTimeout, releaseLockTimeout } = request.settings
    // The process applies its timeouts itself, unless its event loop is blocked.
    cancels.push(after(ms(releaseLockTimeout + 2 * releaseTimeout + MARGIN), kill))
  })
  send({ type: 'begin', request })
  return { ended, abort }
}

function failed(message: string, exit: Pick<ReleaseFailure, 'exitCode' | 'signal'>): ReleaseEnd {
  const failure: ReleaseFailure = { phase: 'process', reason: 'exited', ...exit }
  return { outcome: 'failed', message, failure, version: null, record: null, history: [] }
}

/**
 * The flags of this process, so that the config file loads the same way; only one process can have
 * the debugger's port.
 */
function ownFlags(): string[] {
  return [...process.execArgv.filter((flag) => !flag.startsWith('--inspect')), '--disable-warning=ExperimentalWarning']
}
