/** Messages to the guardian. The end of the channel means that the sender exited. */
export type ToGuardian =
  | { readonly type: 'open-postgres'; readonly directory: string; readonly ephemeral: boolean }
  /** End this process too if the sender is killed. */
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
