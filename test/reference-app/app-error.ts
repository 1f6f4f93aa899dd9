/** An error of this app that a person is told. `code` and `details` say the same to programs. */
export class AppError extends Error {
  readonly code: string
  /** Small, plain data, without secrets. */
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: string, message: string, details: Readonly<Record<string, unknown>> = {}) {
    super(message)
    this.code = code
    this.details = details
  }
}

/** A variable of the environment that is missing or does not apply. */
export class SettingError extends AppError {
  constructor(name: string, reason: string, message: string) {
    super('SETTING_INVALID', message, { name, reason })
  }
}

/** The message, with the code behind it where there is one: what a command ends with. */
export function tellWithCode(error: Error): string {
  const { message } = error
  if (!(error instanceof AppError)) return message
  return message.endsWith('.') ? `${message.slice(0, -1)} (${error.code}).` : `${message} (${error.code})`
}
