/** An error of this app that is shown to a person. Programs use `code` and `details`. */
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

/** An environment variable that is missing or invalid. */
export class SettingError extends AppError {
  constructor(name: string, reason: string, message: string) {
    super('SETTING_INVALID', message, { name, reason })
  }
}

/** Formats the error that ends a command, with its code if it has one. */
export function formatError(error: Error): string {
  const { message } = error
  if (!(error instanceof AppError)) return message
  return message.endsWith('.') ? `${message.slice(0, -1)} (${error.code}).` : `${message} (${error.code})`
}
