import type { RestartReason } from '../diagnostics/events.ts'
import { EXIT } from '../errors/exit-codes.ts'
import type { Action } from './action.ts'
import { stopNow } from './commands.ts'
import { countFailure, countReasons } from './failures.ts'
import { fullHeap } from './full-heap.ts'
import { type BootFailure, beginReload, dropGeneration } from './reload.ts'
import type { State, WorkerState } from './state.ts'

/** A worker's process has ended. */
export function exited(
  state: State,
  worker: WorkerState,
  code: number | null,
  signal: string | null,
  at: number,
): Action[] {
  const gone: Action[] = [
    ...remove(state, worker),
    { type: 'announce', what: { of: 'worker-left', worker: worker.id } },
  ]
  if (worker.life === 'draining' || state.phase === 'stopping') {
    if (worker.dying === 'stop-timeout') state.restarts['stop-timeout'] = (state.restarts['stop-timeout'] ?? 0) + 1
    return gone
  }
  worker.lastWords ??=
    worker.readyAt === null ? `it ended before it listened (${tellExit(code, signal)})` : tellExit(code, signal)
  return [...gone, ...failed(state, worker, reasonOf(worker, code, signal), at, { code, signal })]
}

/** A worker ended, or never was, without having been asked to. */
export function failed(
  state: State,
  worker: WorkerState,
  reason: RestartReason,
  at: number,
  exit: BootFailure['exit'] = null,
): Action[] {
  const gone = remove(state, worker)
  const told = worker.lastWords ?? reason
  if (state.reload !== null && worker.generation === state.reload.generation) {
    return [...gone, ...dropGeneration(state, { reason, why: told, exit }), ...beginReload(state, at)]
  }
  if (state.phase === 'starting' && worker.readyAt === null && !state.workers.some(({ readyAt }) => readyAt !== null)) {
    state.exit = { code: EXIT.bootFailed, why: told }
    return [...gone, ...stopNow(state, 'the first generation could not boot')]
  }
  const loop = countFailure(state, worker, reason, at)
  if (loop) {
    state.exit = { code: EXIT.crashLoop, why: told }
    const reasons = countReasons(state)
    return [...gone, { type: 'announce', what: { of: 'crash-loop', reasons } }, ...stopNow(state, 'crash loop')]
  }
  const restartInMs = Math.max(0, state.spawnNotBefore - at)
  return [...gone, { type: 'announce', what: { of: 'worker-failed', worker: worker.id, reason, restartInMs } }]
}

function remove(state: State, worker: WorkerState): Action[] {
  state.workers = state.workers.filter(({ id }) => id !== worker.id)
  return [
    { type: 'clear-timer', timer: { of: 'boot', worker: worker.id } },
    { type: 'clear-timer', timer: { of: 'stop', worker: worker.id } },
  ]
}

function reasonOf(worker: WorkerState, code: number | null, signal: string | null): RestartReason {
  if (worker.dying !== null) return worker.dying
  if (worker.readyAt === null) return 'boot'
  if (fullHeap(worker, { code, signal }) !== null) return 'out-of-memory'
  return signal === 'SIGKILL' ? 'killed-externally' : 'crash'
}

function tellExit(code: number | null, signal: string | null): string {
  return signal === null ? `exit code ${code}` : signal
}
