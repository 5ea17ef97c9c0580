import { TwinlogError } from '../../errors.js'
import type { Page } from './paging.js'

type Query = Readonly<Record<string, string | number | boolean | undefined>>

/** A path of encoded segments with its query. What is undefined in the query is left out. */
export function pathOf(segments: readonly (string | number)[], query: Query = {}): string {
  const path = segments.map(segment => `/${segmentOf(String(segment))}`).join('')
  const pairs = Object.entries(query).flatMap(([name, value]) =>
    // Not URLSearchParams: not every server reads its "+" as a space.
    value === undefined ? [] : [`${name}=${encode(String(value))}`]
  )
  return pairs.length === 0 ? path : `${path}?${pairs.join('&')}`
}

/** Paths of config and mode: of the registry itself, a context or a subject. */
export function scopePath(kind: 'config' | 'mode', scope: string | undefined, query: Query = {}): string {
  return pathOf(scope === undefined ? [kind] : [kind, scope], query)
}

export function pageQuery(page: Page | undefined): Query {
  return page === undefined ? {} : { offset: page.offset === 0 ? undefined : page.offset, limit: page.limit }
}

/** A parameter that is false is left out. */
export function flag(value: boolean | undefined): true | undefined {
  return value === true ? true : undefined
}

function segmentOf(name: string): string {
  // Every URL parser removes them, percent-encoded as well: the request would be about something else.
  if (name === '' || name === '.' || name === '..') throw unaddressable(name)
  return encode(name)
}

function encode(text: string): string {
  try {
    return encodeURIComponent(text)
  } catch {
    throw unaddressable(text)
  }
}

function unaddressable(name: string): TwinlogError {
  const message = `the subject ${JSON.stringify(name)} cannot be named in a URL, so the registry cannot be asked for it; leave it out`
  return new TwinlogError('TWINLOG_UNSUPPORTED', message, { subject: name })
}

/** `:.:orders` is `orders`: the default context may be written out. */
export function plainName(subject: string): string {
  return subject.startsWith(':.:') ? subject.slice(3) : subject
}

/**
 * What Confluent means by `subjectPrefix`: '' is the default context, `:*:` all of them, `:*:orders` a prefix within each. Asked of the
 * answer too, as some registries ignore the parameter.
 */
export function hasPrefix(subject: string, prefix: string | undefined): boolean {
  if (prefix === undefined) return true
  if (prefix.startsWith(':*:')) return subject.replace(/^:\.[^:]*:/, '').startsWith(prefix.slice(3))
  const plain = plainName(prefix)
  return subject.startsWith(plain) && (plain.startsWith(':') || !subject.startsWith(':.'))
}
