import { InvalidOptionError } from '../errors.js'
import { isLogger, type Logger } from '../logger.js'
import { type Pattern, type Selector, selectorChoice } from './selector.js'

/** Refuses keys that are not options, or not yet: an option that is ignored would be a promise not kept. */
export function assertKnownKeys(
  path: string,
  value: object,
  known: readonly string[],
  planned: readonly string[] = []
): void {
  for (const key of Object.keys(value)) {
    if (known.includes(key)) continue
    if ((value as Record<string, unknown>)[key] === undefined) continue
    if (planned.includes(key))
      throw new InvalidOptionError(`${path}.${key}`, 'is not available yet in this version; leave it out')
    throw new InvalidOptionError(`${path}.${key}`, `is not an option; known are ${known.join(', ')}`)
  }
}

export function assertObject(path: string, value: unknown): asserts value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new InvalidOptionError(path, 'must be an object')
}

/** Aliases, links and services become parts of topic names and transactional ids. */
export function assertName(path: string, value: unknown): asserts value is string {
  if (typeof value !== 'string' || !/^[a-zA-Z0-9._-]{1,100}$/.test(value)) {
    throw new InvalidOptionError(path, 'must be 1 to 100 characters of a-z, A-Z, 0-9, dot, dash and underscore')
  }
}

export function assertSelector(path: string, value: unknown): asserts value is Selector {
  if (value === undefined || value === null)
    throw new InvalidOptionError(path, 'is missing: name topics, or give a RegExp')
  const choice = typeof value === 'object' && !(value instanceof RegExp) && !Array.isArray(value) ? value : undefined
  if (choice) assertKnownKeys(path, choice, ['include', 'exclude'])
  const { include, exclude } = selectorChoice(value as Selector)
  if (include.length === 0) throw new InvalidOptionError(path, 'must not be empty: name topics, or give a RegExp')
  include.forEach((pattern, index) => assertPattern(`${path}[${index}]`, pattern))
  exclude.forEach((pattern, index) => assertPattern(`${path}.exclude[${index}]`, pattern))
}

export function assertPositiveInteger(path: string, value: unknown): asserts value is number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value <= 0)
    throw new InvalidOptionError(path, 'must be a positive whole number')
}

export function assertOneOf<T extends string>(path: string, value: unknown, choices: readonly T[]): asserts value is T {
  if (choices.includes(value as T)) return
  throw new InvalidOptionError(path, `must be ${choices.map(choice => JSON.stringify(choice)).join(' or ')}`)
}

export function assertTopicName(path: string, value: unknown): asserts value is string {
  if (typeof value !== 'string' || !/^[a-zA-Z0-9._-]{1,249}$/.test(value) || value === '.' || value === '..')
    throw new InvalidOptionError(path, `${JSON.stringify(value)} is not a legal topic name`)
}

export function assertLogger(path: string, value: unknown): asserts value is Logger {
  if (!isLogger(value)) throw new InvalidOptionError(path, 'must have debug, info, warn and error (pino fits)')
}

function assertPattern(path: string, pattern: Pattern): void {
  if (pattern instanceof RegExp) return
  if (typeof pattern !== 'string' || pattern.length === 0)
    throw new InvalidOptionError(path, 'must be a topic name or a RegExp, and not empty')
  if (!/^[a-zA-Z0-9._-]{1,249}$/.test(pattern)) {
    throw new InvalidOptionError(
      path,
      `${JSON.stringify(pattern)} is not a legal topic name; patterns are given as RegExp`
    )
  }
}
