import { type FallbackChain, fallbackChain, withTimeout } from '../punctual.ts'
import type { Inbox, Source } from './contract.ts'
import type { PartnerMessage } from './partner.ts'
import { askPartner, PartnerError } from './partner-client.ts'

/** Of one call. Both calls together take less than a client waits. */
const PARTNER_LIMIT = '3s'

type Ask = (id: string) => Promise<readonly PartnerMessage[]>

/**
 * The service on Punctual. On a 422, and only then, it asks the other endpoint; the endpoint that
 * responded is cached, and asked first for that id the next time. Other responses are passed on.
 * Each call has a timeout, which also closes its connection.
 */
export function createInboxAfter(partnerUrl: string): Inbox {
  const asking =
    (source: Source): Ask =>
    (id) =>
      withTimeout('partner messages', PARTNER_LIMIT, ({ signal }) => askPartner(partnerUrl, source, id, signal))
  const discussions: FallbackChain<Record<Source, Ask>> = fallbackChain('discussion', {
    sources: { messaging: asking('messaging'), issue: asking('issue') },
    next: (error) => error instanceof PartnerError && error.status === 422,
  })
  return {
    discussion: async (id, supposed) => {
      const { source, value } = await discussions.ask(id, { first: supposed })
      return { id, source, messages: value }
    },
  }
}
