/** The part of pino's interface that twinlog uses: an object of fields first, then the message. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const
type Level = (typeof LEVELS)[number]

/** Default logger: one JSON line per entry on standard error, like kafkajs's own console logger, at `warn` and above. */
export function consoleLogger(level: Level = 'warn'): Logger {
  const threshold = LEVELS.indexOf(level)
  const at = (entryLevel: Level) => (fields: object, message: string) => {
    if (LEVELS.indexOf(entryLevel) < threshold) return
    const entry = { level: entryLevel, timestamp: new Date().toISOString(), logger: 'twinlog', message, ...fields }
    const line = JSON.stringify(entry, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value))
    process.stderr.write(`${line}\n`)
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** A logger that adds fixed fields to every entry. */
export function childLogger(parent: Logger, bindings: object): Logger {
  const at = (level: Level) => (fields: object, message: string) => parent[level]({ ...bindings, ...fields }, message)
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

export function isLogger(value: unknown): value is Logger {
  if (typeof value !== 'object' || value === null) return false
  return LEVELS.every(level => typeof (value as Record<string, unknown>)[level] === 'function')
}
