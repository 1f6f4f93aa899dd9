export interface UnnamedWaitOptions {
  /** Write down what a request begins and has heard nothing back from. */
  readonly trace: boolean
  /** Outgoing calls say what is left of their request. */
  readonly propagate: boolean
}
