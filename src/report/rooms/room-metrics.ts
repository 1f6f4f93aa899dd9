import type { MetricDefinition } from '../metric-definition.ts'
import type { RoomMetric } from './room-metric.ts'

/** The metrics of the rooms, by the topic under which they report. */
const ROOMS: readonly MetricDefinition[] = []

/** The metrics of one room, made from what the workers that live have reported under its topic. */
function ofRoom<Snapshot>(topic: string, metrics: readonly RoomMetric<Snapshot>[]): readonly MetricDefinition[] {
  return metrics.map(({ name, help, type, labels, values }) => ({
    name,
    help,
    type,
    labels: ['worker', ...labels],
    samples: (status) =>
      status.workers.flatMap(({ id, state, rooms }) => {
        const snapshot = rooms[topic]
        if (state === 'exited' || snapshot === undefined) return []
        return values(snapshot as Snapshot).map((one) => ({ ...one, labels: { worker: String(id), ...one.labels } }))
      }),
  }))
}

export const ROOM_METRICS: readonly MetricDefinition[] = ROOMS
