/** The topic of the line under which arbiter and workers speak of values that are changed while they run. */
export const RUNTIME_TOPIC = 'settings'

/** From a worker, whose app has declared a value by name. Values are texts, written as `punctual set` takes them. */
export type RuntimeToArbiter =
  | {
      readonly type: 'declare'
      readonly name: string
      /** In force there now. */
      readonly value: string
      /** As the app has it where nobody has set anything. */
      readonly standard: string
      /** Why the value that is set does not apply there, as a sentence. */
      readonly refused: string | null
    }
  | { readonly type: 'withdraw'; readonly name: string }
  | HotAnswer

/** To the ask of that number: `value` is the text as this worker writes it. */
export type HotAnswer =
  | { readonly type: 'answer'; readonly ask: number; readonly ok: true; readonly value: string }
  | { readonly type: 'answer'; readonly ask: number; readonly ok: false; readonly why: string }

/** To a worker that has declared the name. Each is answered; `check` changes nothing. */
export type RuntimeToWorker =
  | { readonly type: 'check'; readonly ask: number; readonly name: string; readonly text: string }
  | { readonly type: 'set'; readonly ask: number; readonly name: string; readonly text: string }
  | { readonly type: 'unset'; readonly ask: number; readonly name: string }
