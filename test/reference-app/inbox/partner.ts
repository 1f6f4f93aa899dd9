import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after } from '../../../src/resilience/clock.ts'
import { ms } from '../../../src/resilience/duration.ts'

/**
 * How the partner behaves: responds, responds after two seconds, never responds, or responds with
 * 500.
 */
export type PartnerMood = 'well' | 'slow' | 'hang' | 'fail'

/** A stand-in for the API of a marketplace partner: a real HTTP server on this machine. */
export interface Partner {
  readonly url: string
  mood: PartnerMood
  /** How often each endpoint was called. */
  readonly asked: Readonly<Record<PartnerKind, number>>
  close(): Promise<void>
}

/** An id is that of a thread with messages or of an issue with a chat. They look alike. */
export type PartnerKind = 'thread' | 'issue'

export interface PartnerMessage {
  readonly from: string
  readonly text: string
}

const SLOW = ms(2_000)
const PATH = /^\/(?:threads\/(\d{1,9})\/messages|issues\/(\d{1,9})\/chat)$/
/** The highest id that exists. */
const LAST_ID = 99_999

/**
 * Returns the kind of an id, which only the partner knows: even numbers are threads, odd numbers
 * issues.
 */
function kindOf(id: number): PartnerKind {
  return id % 2 === 0 ? 'thread' : 'issue'
}

/**
 * Serves `GET /threads/:id/messages` and `GET /issues/:id/chat`: `{ messages: [{ from, text }] }`,
 * 422 for an id of the other kind, 404 for an unknown id.
 */
export async function startPartner(): Promise<Partner> {
  const asked: Record<PartnerKind, number> = { thread: 0, issue: 0 }
  let mood: PartnerMood = 'well'
  const handle = (request: IncomingMessage, response: ServerResponse): void => {
    const [, thread, issue] = PATH.exec(request.url ?? '') ?? []
    if (thread === undefined && issue === undefined) return answer(response, 404, { error: 'no such endpoint' })
    const kind: PartnerKind = thread === undefined ? 'issue' : 'thread'
    asked[kind] += 1
    const reply = (): void => answerAbout(response, kind, Number(thread ?? issue))
    if (mood === 'well') reply()
    else if (mood === 'fail') answer(response, 500, { error: 'the partner has trouble of its own' })
    else if (mood === 'slow') after(SLOW, reply, { keepAlive: false })
    // Hanging: the connection stays open without a response, until either side closes it.
  }
  const server = createServer(handle)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    get mood() {
      return mood
    },
    set mood(next) {
      mood = next
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function answerAbout(response: ServerResponse, asked: PartnerKind, id: number): void {
  if (id > LAST_ID) return answer(response, 404, { error: `there is no discussion ${id}` })
  const kind = kindOf(id)
  if (kind !== asked) return answer(response, 422, { error: `${id} is no ${asked}` })
  const messages: readonly PartnerMessage[] = [
    { from: 'customer', text: `Hello, I have a question about ${kind} ${id}.` },
    { from: 'shop', text: 'We are looking into it.' },
  ]
  answer(response, 200, { messages })
}

function answer(response: ServerResponse, status: number, body: object): void {
  if (response.destroyed) return
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}
