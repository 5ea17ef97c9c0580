import { faults, RegistryFault } from './registry-fault.js'
import type { RegistryState } from './registry-state.js'
import { nameBeside, normalizeName, prefixOfPathContext } from './subject-names.js'

/** A request's path after contexts and aliases were worked into it. Segments are decoded. */
export interface RoutedPath {
  segments: string[]
  query: URLSearchParams
}

/**
 * `/contexts/.ctx/subjects/s` is `/subjects/:.ctx:s`: the context goes into every subject of the path, into `subject` and into
 * `subjectPrefix`. A subject with an alias then stands for the alias. Both happen before the path is decoded, as at Confluent.
 */
export function routePath(path: string, query: URLSearchParams, state: RegistryState): RoutedPath {
  const raw = path.split('/').filter(segment => segment !== '')
  const inContext = raw[0] === 'contexts' && raw.length > 1 ? contextPath(raw, query) : raw
  const segments = inContext.map((segment, at) =>
    inContext[at - 1] === 'subjects' ? decode(aliasOf(segment, state)) : decode(segment)
  )
  if (segments[0] === 'schemas' && segments[1] === 'ids') {
    const subject = query.get('subject')
    if (subject !== null) query.set('subject', aliasOf(subject, state))
  }
  return { segments, query }
}

function contextPath(raw: string[], query: URLSearchParams): string[] {
  const prefix = prefixOfPathContext(decode(raw[1] ?? ''))
  if (prefix === undefined) throw new RegistryFault(400, 400, 'Context name cannot contain a colon')
  const rest = raw.slice(2)
  const isSettings = rest[0] === 'config' || rest[0] === 'mode'
  const segments = rest.map((segment, at) => {
    const isSubject = rest[at - 1] === 'subjects' || (isSettings && at === 1)
    return isSubject && !hasContext(segment) ? prefix + segment : segment
  })
  if (isSettings && rest.length === 1 && prefix !== '') segments.push(prefix)
  if (rest[0] === 'schemas' && rest[1] === 'ids') qualify(query, 'subject', prefix)
  else if (rest.length === 1 && (rest[0] === 'schemas' || rest[0] === 'subjects')) {
    qualify(query, 'subjectPrefix', prefix)
  }
  return segments
}

function qualify(query: URLSearchParams, key: string, prefix: string): void {
  const value = query.get(key) ?? ''
  query.set(key, hasContext(value) ? value : prefix + value)
}

function hasContext(name: string): boolean {
  return name.startsWith(':.') || name.startsWith(':*:')
}

/** The alias is looked for under the subject's real name, but placed beside the name as it was written: an encoded context is not seen. */
function aliasOf(segment: string, state: RegistryState): string {
  const alias = state.configs.get(normalizeName(decode(segment)))?.alias
  return typeof alias === 'string' && alias !== '' ? encodeURIComponent(nameBeside(segment, alias)) : segment
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch {
    throw faults.notFound()
  }
}

/** `true` in any case; anything else is no. */
export function flagOf(query: URLSearchParams, key: string): boolean {
  return query.get(key)?.toLowerCase() === 'true'
}

/** A number that is none is an unknown address. */
export function numberOf(text: string | null, fallback: number): number {
  if (text === null || text === '') return fallback
  if (!/^[+-]?\d+$/.test(text) || Math.abs(Number(text)) > 2 ** 31 - 1) throw faults.notFound()
  return Number(text)
}

export function versionOf(text: string): number {
  const trimmed = text.trim()
  if (trimmed.toLowerCase() === 'latest') return -1
  const version = /^[+-]?\d+$/.test(trimmed) ? Number(trimmed) : 0
  if ((version <= 0 && version !== -1) || version > 2 ** 31 - 1) throw faults.invalidVersion(text)
  return version
}
