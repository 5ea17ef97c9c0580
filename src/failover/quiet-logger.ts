import type { Logger } from '../logger.js'

/** Warnings and errors become debug entries while `quiet()` holds. */
export function quietWhen(quiet: () => boolean, logger: Logger): Logger {
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger[quiet() ? 'debug' : 'info'](fields, message),
    warn: (fields, message) => logger[quiet() ? 'debug' : 'warn'](fields, message),
    error: (fields, message) => logger[quiet() ? 'debug' : 'error'](fields, message)
  }
}
