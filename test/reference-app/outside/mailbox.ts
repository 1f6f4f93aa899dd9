import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { SMTPServer } from 'smtp-server'

/** How the mail server behaves: accepts letters, never responds, or rejects them temporarily. */
export type MailMood = 'well' | 'hang' | 'fail'

/**
 * A stand-in for a mail server: real SMTP on this machine. It keeps what it accepts, and sends
 * nothing.
 */
export interface Mailbox {
  /** `smtp://127.0.0.1:…` */
  readonly url: string
  mood: MailMood
  /** Accepted letters, newest last; at most the last 1,000. */
  readonly letters: readonly Letter[]
  close(): Promise<void>
}

export interface Letter {
  readonly to: readonly string[]
  /** The header `Message-ID`. */
  readonly id: string
  /** Headers and body. */
  readonly text: string
}

const MOST_KEPT = 1_000
/** "Local error in processing": the sender should retry. */
const TRY_AGAIN = 451

export async function startMailbox(): Promise<Mailbox> {
  const letters: Letter[] = []
  let mood: MailMood = 'well'
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['AUTH', 'STARTTLS'],
    closeTimeout: 1_000,
    logger: false,
    onData(stream, { envelope }, answer) {
      const take = (letter: string): void => {
        // Hanging: the letter is read, but there is no reply.
        if (mood === 'hang') return
        if (mood === 'fail') {
          answer(Object.assign(new Error('the mailbox is full'), { responseCode: TRY_AGAIN }))
          return
        }
        const [, id = ''] = /^message-id: (.+)$/im.exec(letter) ?? []
        letters.push({ to: envelope.rcptTo.map(({ address }) => address), id, text: letter })
        if (letters.length > MOST_KEPT) letters.shift()
        answer()
      }
      text(stream).then(take, () => {})
    },
  })
  // A client that disconnects is not an error.
  server.on('error', () => {})
  await new Promise<void>((resolve, reject) => {
    server.server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `smtp://127.0.0.1:${(server.server.address() as AddressInfo).port}`,
    get mood() {
      return mood
    },
    set mood(next) {
      mood = next
    },
    letters,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}
