/** What the `punctual` command exits with. Scripts and service managers rely on it: numbers are added, never changed. */
export const EXIT = {
  stopped: 0,
  failed: 1,
  usage: 2,
  bootFailed: 3,
  releaseFailed: 4,
  crashLoop: 5,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** What each says, for the reference. */
export const EXIT_MEANINGS: Readonly<Record<ExitCode, string>> = {
  0: 'Stopped as asked, or the command did what it was told',
  1: 'The command was understood and failed, or something unforeseen was thrown',
  2: 'Wrong usage or settings; nothing was started',
  3: 'The first generation of workers could not boot',
  4: 'A release step failed',
  5: 'Crash loop: workers failed too often in too short a time',
}
