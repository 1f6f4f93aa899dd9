import { Command } from 'commander'
import type { Status } from '../diagnostics/status.ts'
import { type Column, textTable } from '../diagnostics/text-table.ts'
import { PunctualError, UsageError } from '../errors/punctual-error.ts'
import type { DeadLetter } from '../queue/dead-letters.ts'
import { QUEUE_TOPIC, type QueuesReport } from '../queue/queue-report.ts'
import {
  deadLettersOf,
  listStoredQueues,
  refuseOtherUser,
  retryDeadLetters,
  type StoredQueue,
} from '../queue/stored-queues.ts'
import { printable } from '../redaction/printable.ts'
import { redact, redactAll } from '../redaction/redaction.ts'
import { formatElapsed, ms } from '../resilience/duration.ts'
import { addStateDirFlag, askArbiter, readStateDir } from './control-client.ts'
import { formatJson, printAndExit } from './print.ts'

interface Options {
  readonly json?: true
  readonly all?: true
  readonly stateDir?: string
}

/** How many dead letters are printed; `--json` prints all. */
const MAX_PRINTED = 20
const MAX_WIDTH = 120
/** The files suffice if no arbiter answers soon. */
const ASK_TIMEOUT = ms(2_000)

/**
 * `punctual deferred [queue]`, `… retry`, `… drop`: the durable queues and their dead letters. Uses
 * the files, so that it also works if no arbiter runs.
 */
export function deferredCommand(): Command {
  const command = new Command('deferred')
    .description('print the durable queues, or the dead letters of one')
    .argument('[queue]', 'name of a queue')
    .option('--json', 'print JSON')
    .addCommand(retryCommand())
    .addCommand(dropCommand())
  return addStateDirFlag(command).action(async (queue: string | undefined, options: Options) => {
    const stateDir = await readStateDir(options)
    await printAndExit(await (queue === undefined ? showAll(stateDir, options) : showOne(stateDir, queue, options)))
  })
}

function retryCommand(): Command {
  const command = new Command('retry')
    .description('put dead letters back into their queue')
    .argument('<queue>', 'name of a queue')
    .argument('[id...]', 'ids of dead letters')
    .option('--all', 'all dead letters of the queue')
    .option('--json', 'print JSON')
  return addStateDirFlag(command).action(async (queue: string, ids: string[], _: Options, self: Command) => {
    const { stateDir, wanted, json } = await chosen(queue, ids, self, 'retry')
    const count = await retryDeadLetters(stateDir, queue, wanted).catch((error: Error) => {
      throw new PunctualError(
        'PUNCTUAL_STATE_DIR_UNWRITABLE',
        `${queue}: ${error.message}; items that could not be written stay dead letters`,
        { cause: error, details: { queue } },
      )
    })
    const text = `${formatCount(count)} of ${queue} will be retried: within two seconds by a running worker, else after the next start\n`
    await printAndExit(json ? `${JSON.stringify({ queue, retried: count })}\n` : text)
  })
}

function dropCommand(): Command {
  const command = new Command('drop')
    .description('delete dead letters')
    .argument('<queue>', 'name of a queue')
    .argument('[id...]', 'ids of dead letters')
    .option('--all', 'all dead letters of the queue')
    .option('--json', 'print JSON')
  return addStateDirFlag(command).action(async (queue: string, ids: string[], _: Options, self: Command) => {
    const { stateDir, wanted, json } = await chosen(queue, ids, self, 'drop')
    const count = await deadLettersOf(stateDir, queue).remove(wanted)
    await printAndExit(
      json ? `${JSON.stringify({ queue, dropped: count })}\n` : `${formatCount(count)} of ${queue} deleted\n`,
    )
  })
}

/**
 * The dead letters that a command is for. All of them must exist, so that no typing error is
 * applied in part.
 */
async function chosen(
  queue: string,
  ids: readonly string[],
  command: Command,
  verb: string,
): Promise<{
  readonly stateDir: string
  readonly wanted: (letter: DeadLetter) => boolean
  readonly json: boolean
}> {
  // The parent command has some of the same flags and consumes them in any position.
  const options = command.optsWithGlobals() as Options
  const json = options.json === true
  const stateDir = await readStateDir(options)
  await refuseUnknown(stateDir, queue)
  await refuseOtherUser(stateDir, queue)
  if (ids.length > 0 === (options.all === true)) {
    throw new UsageError(
      `give the ids of dead letters, or --all: punctual deferred ${verb} ${queue} --all; punctual deferred ${queue} lists them`,
      { details: { queue, reason: 'none-named' } },
    )
  }
  if (options.all === true) return { stateDir, wanted: () => true, json }
  const there = new Set((await deadLettersOf(stateDir, queue).list()).map(({ id }) => id))
  const missing = ids.filter((id) => !there.has(id))
  if (missing.length > 0) {
    const named = missing.map(printable).join(', ')
    throw new UsageError(`${queue} has no dead letter ${named}; punctual deferred ${queue} lists them`, {
      details: { queue, reason: 'no-such-dead-letter', missing },
    })
  }
  const meant = new Set(ids)
  return { stateDir, wanted: ({ id }) => meant.has(id), json }
}

function formatCount(count: number): string {
  return count === 1 ? '1 dead letter' : `${count} dead letters`
}

async function refuseUnknown(stateDir: string, queue: string): Promise<void> {
  const names = (await listStoredQueues(stateDir)).map(({ name }) => name)
  if (names.includes(queue)) return
  const others = names.length === 0 ? 'it has no queues' : `it has ${names.map(printable).join(', ')}`
  throw new UsageError(`no queue ${printable(queue)} in ${stateDir}; ${others}`, {
    details: { queue, reason: 'no-such-queue', queues: names },
  })
}

/** What the running workers report of a queue. */
interface Running {
  readonly depth: number
  readonly oldestAgeMs: number | null
  readonly degraded: boolean
}

const COLUMNS: readonly (Column & { cell(queue: StoredQueue, running: Running | undefined): string })[] = [
  { heading: 'QUEUE', align: 'left', cell: ({ name }) => name },
  { heading: 'ITEMS', align: 'right', cell: (_, running) => (running === undefined ? '-' : String(running.depth)) },
  {
    heading: 'OLDEST',
    align: 'right',
    cell: (_, running) => (typeof running?.oldestAgeMs === 'number' ? formatElapsed(running.oldestAgeMs) : '-'),
  },
  { heading: 'DEAD LETTERS', align: 'right', cell: ({ deadLetters }) => String(deadLetters) },
  { heading: 'ON DISK', align: 'right', cell: ({ bytes }) => `${Math.ceil(bytes / 1024)} KiB` },
  { heading: 'PROCESSES', align: 'left', cell: ({ owners }) => formatOwners(owners) },
  { heading: '', align: 'left', cell: (_, running) => (running?.degraded === true ? 'DEGRADED' : '') },
]

async function showAll(stateDir: string, { json }: Options): Promise<string> {
  const queues = await listStoredQueues(stateDir)
  const running = await askWorkers(stateDir)
  if (json) {
    return formatJson(queues.map((queue) => ({ ...queue, running: running.get(queue.name) ?? null })))
  }
  if (queues.length === 0) return `no queues in ${printable(stateDir)}\n`
  const rows = queues.map((queue) => COLUMNS.map(({ cell }) => cell(queue, running.get(queue.name))))
  return textTable(COLUMNS, rows)
}

/** By queue, over all workers; empty if no arbiter answers. */
async function askWorkers(stateDir: string): Promise<ReadonlyMap<string, Running>> {
  const found = new Map<string, Running>()
  for (const { modules } of (await askStatus(stateDir))?.workers ?? []) {
    const report = modules[QUEUE_TOPIC] as QueuesReport | undefined
    for (const [name, { depth, oldestAgeMs, degraded }] of Object.entries(report?.queues ?? {})) {
      const before = found.get(name) ?? { depth: 0, oldestAgeMs: null, degraded: false }
      found.set(name, {
        depth: before.depth + depth,
        oldestAgeMs: oldestAgeMs === null ? before.oldestAgeMs : Math.max(oldestAgeMs, before.oldestAgeMs ?? 0),
        degraded: before.degraded || degraded !== null,
      })
    }
  }
  return found
}

async function askStatus(stateDir: string): Promise<Status | null> {
  try {
    return await askArbiter(stateDir, { command: 'status' }, { timeout: ASK_TIMEOUT })
  } catch {
    return null
  }
}

async function showOne(stateDir: string, queue: string, { json }: Options): Promise<string> {
  await refuseUnknown(stateDir, queue)
  const letters = await deadLettersOf(stateDir, queue).list()
  if (json) return formatJson(letters)
  if (letters.length === 0) return `no dead letters in ${printable(queue)}\n`
  const shown = letters.toReversed().slice(0, MAX_PRINTED).map(formatLetter)
  const rest = letters.length - shown.length
  return `${shown.join('')}${rest > 0 ? `and ${rest} older; --json prints all\n` : ''}`
}

function formatLetter({ id, item, error, attempts, lastFailedAt }: DeadLetter): string {
  const when = `${lastFailedAt.slice(0, 19).replace('T', ' ')} UTC`
  const head = `${id}  ${when}  ${attempts} attempts  ${redact(`${error.name}: ${error.message}`)}`
  return `${shorten(head)}\n  ${shorten(JSON.stringify(redactAll(item)))}\n`
}

function shorten(text: string): string {
  const line = printable(text)
  return line.length <= MAX_WIDTH ? line : `${line.slice(0, MAX_WIDTH - 1)}…`
}

function formatOwners({ alive, gone }: StoredQueue['owners']): string {
  if (alive + gone === 0) return 'none'
  return [alive > 0 ? `${alive} alive` : '', gone > 0 ? `${gone} gone` : ''].filter((part) => part !== '').join(', ')
}
