import { type FallbackChain, fallbackChain, withTimeout } from '../punctual.ts'
import type { Inbox, Source } from './contract.ts'
import type { PartnerMessage } from './partner.ts'
import { askPartner, PartnerError } from './partner-client.ts'

/** Of one call. Both endpoints together are well below what a client waits for. */
const PARTNER_LIMIT = '3s'

type Ask = (id: string) => Promise<readonly PartnerMessage[]>

/**
 * The same on Punctual. On 422, and only on 422, the other endpoint is asked; which one answered is remembered, and asked first the next time
 * for that id. Everything else the partner says is passed on. Each call has a limit, and is given up with its connection when that runs out.
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
