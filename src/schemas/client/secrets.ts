/** Text that others wrote (answers, errors of the network) with everything secret blotted out. */
export type Redact = (text: string) => string

export interface Secrets {
  /** Passwords and tokens: blotted out whatever their length. */
  hard: string[]
  /** User names and header values: what is shorter than three characters is no secret, and its removal would make text unreadable. */
  soft: string[]
}

const SHORTEST_SOFT_SECRET = 3

export function redactor(secrets: Secrets): Redact {
  const plain = [...secrets.hard, ...secrets.soft.filter(secret => secret.length >= SHORTEST_SOFT_SECRET)]
  const all = new Set(plain.flatMap(forms).filter(form => form !== ''))
  // The longest first: a secret may be a part of another one.
  const ordered = [...all].sort((a, b) => b.length - a.length)
  return text => ordered.reduce((rest, secret) => rest.replaceAll(secret, '***'), text)
}

/**
 * A copy of a foreign error that may be kept as a cause: errors of a dispatcher, a proxy or a custom fetch can carry addresses with
 * credentials in their message or in fields of their own.
 */
export function safeCause(error: unknown, redact: Redact, depth = 0): Error {
  const copy = new Error(redact(reasonOf(error)))
  if (!(error instanceof Error)) return copy
  copy.name = redact(error.name)
  delete copy.stack
  const code = (error as { code?: unknown }).code
  if (typeof code === 'string' || typeof code === 'number') Object.assign(copy, { code: redact(String(code)) })
  if (error.cause !== undefined && depth < 4) copy.cause = safeCause(error.cause, redact, depth + 1)
  return copy
}

/** The part of an error that says something: fetch's own message is always "fetch failed", the reason is in its cause. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error.message === 'fetch failed' && error.cause !== undefined) return reasonOf(error.cause)
  if (error instanceof AggregateError && error.errors.length > 0) {
    return [...new Set(error.errors.map(each => reasonOf(each)))].join(', ')
  }
  const code = (error as { code?: unknown }).code
  if (error.message !== '') return error.message
  return typeof code === 'string' ? code : error.name
}

/** As it may stand in a URL or in JSON. */
function forms(secret: string): string[] {
  return [secret, JSON.stringify(secret).slice(1, -1), encoded(secret)]
}

function encoded(secret: string): string {
  try {
    return encodeURIComponent(secret)
  } catch {
    return secret
  }
}
