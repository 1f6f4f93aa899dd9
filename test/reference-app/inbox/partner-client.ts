import type { Source } from './contract.ts'
import type { PartnerMessage } from './partner.ts'

/** The partner answered, and not with success. */
export class PartnerError extends Error {
  readonly status: number
  constructor(status: number, path: string) {
    super(`the partner answered ${status} to GET ${path}`)
    this.status = status
  }
}

/** There was no answer: the partner is not there, or the connection broke. */
export class PartnerAwayError extends Error {}

/** One call of the partner's API. Without a signal it takes as long as it takes; with one it rejects with the signal's reason. */
export async function askPartner(
  baseUrl: string,
  source: Source,
  id: string,
  signal?: AbortSignal,
): Promise<readonly PartnerMessage[]> {
  const path = source === 'messaging' ? `/threads/${id}/messages` : `/issues/${id}/chat`
  try {
    const answer = await fetch(`${baseUrl}${path}`, signal === undefined ? {} : { signal })
    if (answer.ok) return ((await answer.json()) as { messages: readonly PartnerMessage[] }).messages
    // Unread, the body would hold on to its connection.
    await answer.body?.cancel()
    throw new PartnerError(answer.status, path)
  } catch (error) {
    if (error instanceof PartnerError || signal?.aborted === true) throw error
    throw new PartnerAwayError(`the partner did not answer GET ${path}`, { cause: error })
  }
}
