/** What `npm start` (or a test) tells its guardian. The end of the channel means: it is gone, leave. */
export type ToGuardian =
  | { readonly type: 'open-postgres'; readonly directory: string; readonly ephemeral: boolean }
  /** End this process too, should I be killed. */
  | { readonly type: 'watch'; readonly pid: number }
  | { readonly type: 'forget' }
  | { readonly type: 'stop' }

export type FromGuardian =
  | { readonly type: 'up' }
  | { readonly type: 'waiting'; readonly why: string }
  | { readonly type: 'postgres'; readonly url: string }
  | {
      readonly type: 'failed'
      readonly message: string
      readonly code?: string
      readonly details?: Readonly<Record<string, unknown>>
    }
  | { readonly type: 'postgres-lost' }
