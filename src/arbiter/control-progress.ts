import type { Status, WorkerStatus } from '../diagnostics/status.ts'

/** How far the arbiter is with what it is doing: `generation 2: 1 of 2 workers ready, 1 booting; 2 old draining`. */
export function tellProgress(status: Status): string {
  const { phase, generation, wanted, workers } = status
  if (phase === 'stopping') {
    const left = workers.filter((worker) => worker.state !== 'exited')
    const inFlight = left.reduce((sum, worker) => sum + worker.inFlight, 0)
    return left.length === 0
      ? 'all workers have left'
      : `${left.length} ${left.length === 1 ? 'worker' : 'workers'} left, ${inFlight} requests in flight`
  }
  if (status.release?.state === 'running') return status.release.told
  const newest = Math.max(generation, ...workers.map((worker) => worker.generation))
  const [ours, older] = [
    workers.filter((worker) => worker.generation === newest),
    workers.filter((worker) => worker.generation !== newest && worker.state !== 'exited'),
  ]
  const booting = count(ours, 'spawned') + count(ours, 'booting')
  const draining = count(older, 'draining')
  return [
    `generation ${newest}: ${count(ours, 'ready')} of ${wanted} workers ready${booting === 0 ? '' : `, ${booting} booting`}`,
    older.length === 0
      ? ''
      : `${older.length} old${draining === older.length ? ' draining' : `, ${draining} draining`}`,
  ]
    .filter((part) => part !== '')
    .join('; ')
}

function count(workers: readonly WorkerStatus[], state: WorkerStatus['state']): number {
  return workers.filter((worker) => worker.state === state).length
}
