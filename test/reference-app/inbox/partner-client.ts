import type { Source } from './contract.ts'
import type { PartnerMessage } from './partner.ts'

/** The partner responded with an error. */
export class PartnerError extends Error {
  readonly status: number
  constructor(status: number, path: string) {
    super(`the partner responded with ${status} to GET ${path}`)
    this.status = status
  }
}

/** The partner did not respond: it is down, or the connection broke. */
export class PartnerAwayError extends Error {}

/**
 * Calls the partner's API. Without a signal it waits for as long as it takes; with one it rejects
 * with its reason.
 */
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
    // An unread body would keep its connection.
    await answer.body?.cancel()
    throw new PartnerError(answer.status, path)
  } catch (error) {
    if (error instanceof PartnerError || signal?.aborted === true) throw error
    throw new PartnerAwayError(`the partner did not respond to GET ${path}`, { cause: error })
  }
}
