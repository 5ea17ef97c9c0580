/** A subject with its context, as Confluent's registry reads a name: `:.ctx:orders-value` is `orders-value` in `.ctx`. */
export interface QualifiedName {
  /** Begins with a dot; `.` is the default context, `*` stands for all of them. */
  context: string
  /** Empty: the context itself. */
  subject: string
}

export const defaultContext = '.'
const allContexts = ':*:'

export function parseName(name: string): QualifiedName {
  if (name.startsWith(':.')) {
    const end = name.indexOf(':', 2)
    return end < 0
      ? { context: name.slice(1), subject: '' }
      : { context: name.slice(1, end), subject: name.slice(end + 1) }
  }
  if (name.startsWith(allContexts)) return { context: '*', subject: name.slice(allContexts.length) }
  return { context: defaultContext, subject: name }
}

/** `:.ctx:`, or nothing for the default context. */
export function contextPrefix(context: string): string {
  return context === defaultContext ? '' : `:${context}:`
}

export function nameOf(name: QualifiedName): string {
  return contextPrefix(name.context) + name.subject
}

/** One spelling for each subject: `:.:orders` is `orders`. */
export function normalizeName(name: string): string {
  return nameOf(parseName(name))
}

/** A name inside another subject (reference, alias): without a context of its own it belongs to that subject's context. */
export function nameBeside(parent: string, name: string): string {
  const own = parseName(name)
  if (own.context !== defaultContext) return nameOf(own)
  const { context } = parseName(parent)
  return nameOf({ context, subject: context === defaultContext ? own.subject : name })
}

/** Control characters and two reserved names are refused. An empty subject is allowed. */
export function isValidName(name: string): boolean {
  if (/[\u0000-\u001f\u007f-\u009f]/.test(name)) return false
  const { subject } = parseName(name)
  return subject !== '__GLOBAL' && subject !== '__EMPTY'
}

/** The context of a path (`/contexts/.ctx/...`), as a prefix of names. Undefined: not a context. */
export function prefixOfPathContext(context: string): string | undefined {
  let name = context.startsWith(':') ? context.slice(1) : context
  if (name.endsWith(':')) name = name.slice(0, -1)
  if (name.includes(':')) return undefined
  return contextPrefix(name.startsWith('.') ? name : `.${name}`)
}

/** By context first, the default one before all others: the order of the registry's own store. */
export function compareInStore(a: QualifiedName, b: QualifiedName): number {
  return compareText(a.context, b.context) || compareText(a.subject, b.subject)
}

export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
