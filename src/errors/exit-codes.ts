/** The exit codes of `punctual`. Scripts and service managers rely on them: never change one. */
export const EXIT = {
  stopped: 0,
  failed: 1,
  usage: 2,
  bootFailed: 3,
  releaseFailed: 4,
  crashLoop: 5,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** The meaning of each, for the reference. */
export const EXIT_MEANINGS: Readonly<Record<ExitCode, string>> = {
  0: 'Stopped on request, or the command succeeded',
  1: 'The command failed, the shutdown of a worker failed, or an unexpected error was thrown',
  2: 'Wrong usage or invalid settings; nothing was started',
  3: 'The first generation of workers did not boot',
  4: 'The release failed',
  5: 'Crash loop: workers failed too often',
}
