import type { SchemaContent, SchemaReference } from './registry-types.js'

/** Canonical texts are asked for again with every comparison of the same snapshot. */
const canonical = new WeakMap<SchemaContent, string>()

/** References of both sides by the names of one registry; undefined: do not compare them. */
export interface ComparedReferences {
  left: readonly SchemaReference[]
  right: readonly SchemaReference[]
}

/**
 * Whether two contents are the same schema, as far as can be said without asking a registry: registries compact JSON and order the
 * attributes of Avro, and that is no difference. `doc` and every other attribute count. False can still mean the same: then a registry's
 * own comparison (`lookup`) decides.
 */
export function sameText(left: SchemaContent, right: SchemaContent): boolean {
  if (left.schemaType !== right.schemaType) return false
  return left.schema === right.schema || canonicalText(left) === canonicalText(right)
}

export function sameReferences({ left, right }: ComparedReferences): boolean {
  if (left.length !== right.length) return false
  const there = new Set(right.map(referenceKey))
  return left.every(reference => there.has(referenceKey(reference)))
}

/** Metadata and rule sets: any order of keys; nothing set is the same as nothing there. */
export function sameValue(left: unknown, right: unknown): boolean {
  return stable(left) === stable(right)
}

export function isUnset(value: unknown): boolean {
  return stable(value) === ''
}

function canonicalText(content: SchemaContent): string {
  let text = canonical.get(content)
  if (text === undefined) {
    text = toCanonical(content)
    canonical.set(content, text)
  }
  return text
}

function toCanonical({ schemaType, schema }: SchemaContent): string {
  if (schemaType === 'PROTOBUF') return schema.trim()
  try {
    // Avro registries write attributes in an order of their own. In JSON Schema the order makes another schema (another id).
    return compactJson(schema, schemaType === 'AVRO')
  } catch {
    return schema.trim()
  }
}

function referenceKey({ name, subject, version }: SchemaReference): string {
  return JSON.stringify([name, subject, version])
}

function stable(value: unknown): string {
  if (value === null || value === undefined) return ''
  if (Array.isArray(value)) return `[${value.map(stable).join(',')}]`
  if (typeof value !== 'object') return JSON.stringify(value)
  const entries = Object.entries(value)
    .map(([key, item]) => [key, stable(item)] as const)
    // Registries leave out what is empty.
    .filter(([, text]) => text !== '' && text !== '[]' && text !== '{}')
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return entries.length === 0 ? '' : `{${entries.map(([key, text]) => `${JSON.stringify(key)}:${text}`).join(',')}}`
}

const TOKEN = /\s*([[\]{},:]|"(?:[^"\\]|\\.)*"|[^\s[\]{},:"]+)/sy

/** JSON without white space, by tokens: a parsed number loses digits, and two defaults that differ in the 17th are two schemas. */
export function compactJson(text: string, sortKeys: boolean): string {
  const tokens = tokensOf(text.trim())
  let at = 0
  const value = (): string => {
    const token = tokens[at++]
    if (token === '{') return object()
    if (token === '[') return array()
    if (token === undefined || /^[\]},:]$/.test(token)) throw new SyntaxError('not JSON')
    return token.startsWith('"') ? JSON.stringify(JSON.parse(token)) : token
  }
  const object = (): string => {
    const entries: [string, string][] = []
    while (tokens[at] !== '}') {
      const key = value()
      if (tokens[at++] !== ':') throw new SyntaxError('not JSON')
      entries.push([key, value()])
      if (tokens[at] === ',') at++
    }
    at++
    if (sortKeys) entries.sort(([a], [b]) => (a < b ? -1 : 1))
    return `{${entries.map(([key, item]) => `${key}:${item}`).join(',')}}`
  }
  const array = (): string => {
    const items: string[] = []
    while (tokens[at] !== ']') {
      items.push(value())
      if (tokens[at] === ',') at++
    }
    at++
    return `[${items.join(',')}]`
  }
  const result = value()
  if (at !== tokens.length) throw new SyntaxError('not JSON')
  return result
}

function tokensOf(text: string): string[] {
  const tokens: string[] = []
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.length) {
    const match = TOKEN.exec(text)
    if (!match) throw new SyntaxError('not JSON')
    tokens.push(match[1] ?? '')
  }
  return tokens
}
