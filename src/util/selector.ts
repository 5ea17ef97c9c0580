/** A string is an exact name; a RegExp must match the whole name. */
export type Pattern = string | RegExp
export type Selector = Pattern | Pattern[] | { include: Pattern | Pattern[]; exclude?: Pattern | Pattern[] | undefined }

interface Choice {
  include: Pattern[]
  exclude: Pattern[]
}

export function selectorChoice(selector: Selector): Choice {
  if (typeof selector === 'string' || selector instanceof RegExp) return { include: [selector], exclude: [] }
  if (Array.isArray(selector)) return { include: selector, exclude: [] }
  return { include: list(selector.include), exclude: selector.exclude === undefined ? [] : list(selector.exclude) }
}

/** Exact names that were asked for: the only way to choose an internal topic. */
export function exactNames(selector: Selector): string[] {
  return selectorChoice(selector).include.filter(pattern => typeof pattern === 'string')
}

/** True when a list of names is enough, so that nobody has to list all topics of a cluster. */
export function isExact(selector: Selector): boolean {
  return selectorChoice(selector).include.every(pattern => typeof pattern === 'string')
}

export function matches(selector: Selector, topic: string): boolean {
  const { include, exclude } = selectorChoice(selector)
  if (exclude.some(pattern => fits(pattern, topic))) return false
  if (isInternalTopic(topic)) return include.includes(topic)
  return include.some(pattern => fits(pattern, topic))
}

/** The same for selectors that say the same. */
export function selectorText(selector: Selector): string {
  return JSON.stringify(selectorChoice(selector), (_name, value: unknown) =>
    value instanceof RegExp ? String(value) : value
  )
}

/** Kafka's own topics, twinlog's, MirrorMaker 2's and Connect's. */
export function isInternalTopic(topic: string): boolean {
  return topic.startsWith('__') || topic.startsWith('.') || topic.endsWith('.internal') || topic.endsWith('-internal')
}

function fits(pattern: Pattern, topic: string): boolean {
  if (typeof pattern === 'string') return pattern === topic
  const whole = new RegExp(`^(?:${pattern.source})$`, pattern.flags.replace(/[gy]/g, ''))
  return whole.test(topic)
}

function list(patterns: Pattern | Pattern[]): Pattern[] {
  return Array.isArray(patterns) ? patterns : [patterns]
}
