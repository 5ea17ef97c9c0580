import { type JsonValue, member, textOf, writeJson } from './json-text.js'

const types = new Set(['null', 'boolean', 'object', 'array', 'number', 'integer', 'string'])
const numbers = ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf', 'minLength', 'maxLength']
const inside = [
  'items',
  'additionalProperties',
  'not',
  'contains',
  'propertyNames',
  'additionalItems',
  'if',
  'then',
  'else'
]
const maps = ['properties', 'patternProperties', 'definitions', '$defs']
const lists = ['oneOf', 'anyOf', 'allOf']

/** What is wrong with a JSON Schema, checked where registries commonly stumble. `names`: what `$ref` may name outside this document. */
export function jsonSchemaFault(schema: JsonValue, names: string[]): string | undefined {
  return faultIn(schema, schema, names)
}

function faultIn(schema: JsonValue, root: JsonValue, names: string[]): string | undefined {
  if (schema.kind !== 'object') return undefined
  const type = member(schema, 'type')
  const listed = type?.kind === 'array' ? type.items : type === undefined ? [] : [type]
  if (listed.some(item => !types.has(textOf(item) ?? ''))) return 'type'
  const required = member(schema, 'required')
  if (required !== undefined && required.kind !== 'array' && required.kind !== 'boolean') return 'required'
  const wrong = numbers.find(key => {
    const value = member(schema, key)
    return value !== undefined && value.kind !== 'number' && value.kind !== 'boolean'
  })
  if (wrong !== undefined) return wrong
  const pattern = textOf(member(schema, 'pattern'))
  if (pattern !== undefined && !isPattern(pattern)) return 'pattern'
  const ref = textOf(member(schema, '$ref'))
  if (ref !== undefined && !resolves(ref, root, names)) return '$ref'
  for (const key of maps) {
    const value = member(schema, key)
    if (value !== undefined && value.kind !== 'object') return key
    for (const [, item] of value?.kind === 'object' ? value.entries : []) {
      const found = faultIn(item, root, names)
      if (found !== undefined) return found
    }
  }
  for (const item of [
    ...inside.map(key => member(schema, key)),
    ...lists.flatMap(key => itemsOf(member(schema, key)))
  ]) {
    for (const one of item === undefined ? [] : item.kind === 'array' ? item.items : [item]) {
      const found = faultIn(one, root, names)
      if (found !== undefined) return found
    }
  }
  return undefined
}

function itemsOf(value: JsonValue | undefined): JsonValue[] {
  return value?.kind === 'array' ? value.items : []
}

function isPattern(text: string): boolean {
  try {
    new RegExp(text, 'u')
    return true
  } catch {
    return false
  }
}

function resolves(ref: string, root: JsonValue, names: string[]): boolean {
  const [document, pointer = ''] = ref.split('#')
  if (document !== undefined && document !== '') {
    return names.some(name => name === document || document.endsWith(`/${name}`))
  }
  let at: JsonValue | undefined = root
  for (const key of pointer.split('/').slice(1)) {
    const name = decodeURIComponent(key).replaceAll('~1', '/').replaceAll('~0', '~')
    at = at?.kind === 'array' ? at.items[Number(name)] : at && member(at, name)
  }
  return at !== undefined
}

const notes = new Set(['title', 'description', 'default', 'examples', '$id', '$schema', '$comment', 'confluent:tags'])

/**
 * A conservative check, by no means Confluent's: properties may be added where the schema is closed and removed where it is open, the number
 * of required ones may shrink, enums may grow, integer may become number. Any other change of a keyword counts as incompatible.
 */
export function jsonSchemaDifferences(reader: JsonValue, writer: JsonValue, path = '#/'): string[] {
  if (canonical(reader) === canonical(writer) || canonical(reader) === 'true' || canonical(reader) === '{}') return []
  if (reader.kind !== 'object' || writer.kind !== 'object') return [difference('TYPE_CHANGED', path)]
  const found: string[] = []
  const keys = new Set([...reader.entries, ...writer.entries].map(([key]) => key))
  for (const key of keys) {
    const now = member(reader, key)
    const before = member(writer, key)
    if (notes.has(key) || text(now) === text(before)) continue
    if (key === 'properties') found.push(...propertyDifferences(reader, writer, path))
    else if (key === 'required') {
      if (strings(now).some(name => !strings(before).includes(name)))
        found.push(difference('REQUIRED_ATTRIBUTE_ADDED', path))
    } else if (key === 'enum') {
      if (now !== undefined && itemsOf(before).some(item => !itemsOf(now).some(other => text(other) === text(item)))) {
        found.push(difference('ENUM_ARRAY_NARROWED', path))
      }
    } else if (key === 'type') {
      if (!(textOf(now) === 'number' && textOf(before) === 'integer')) found.push(difference('TYPE_CHANGED', path))
    } else if (key === 'additionalProperties') {
      if (!isOpen(reader)) found.push(difference('ADDITIONAL_PROPERTIES_REMOVED', path))
    } else if (key === 'items' && now !== undefined && before !== undefined) {
      found.push(...jsonSchemaDifferences(now, before, join(path, 'items')))
    } else if (!maps.includes(key)) found.push(difference('SCHEMA_CHANGED', join(path, key)))
  }
  return found
}

function propertyDifferences(reader: JsonValue, writer: JsonValue, path: string): string[] {
  const now = new Map(entriesOf(member(reader, 'properties')))
  const before = new Map(entriesOf(member(writer, 'properties')))
  const found: string[] = []
  for (const [name, schema] of now) {
    const here = join(path, `properties/${name}`)
    const old = before.get(name)
    if (old !== undefined) found.push(...jsonSchemaDifferences(schema, old, here))
    else if (isOpen(writer)) found.push(difference('PROPERTY_ADDED_TO_OPEN_CONTENT_MODEL', here))
  }
  for (const name of before.keys()) {
    if (!now.has(name) && !isOpen(reader)) {
      found.push(difference('PROPERTY_REMOVED_FROM_CLOSED_CONTENT_MODEL', join(path, `properties/${name}`)))
    }
  }
  return found
}

function entriesOf(value: JsonValue | undefined): [string, JsonValue][] {
  return value?.kind === 'object' ? value.entries : []
}

function isOpen(schema: JsonValue): boolean {
  const additional = member(schema, 'additionalProperties')
  return additional === undefined || (additional.kind === 'boolean' && additional.value)
}

function strings(value: JsonValue | undefined): string[] {
  return itemsOf(value).map(item => textOf(item) ?? '')
}

function text(value: JsonValue | undefined): string {
  return value === undefined ? '' : canonical(value)
}

function canonical(value: JsonValue): string {
  return writeJson(value, { sortKeys: true })
}

function join(path: string, part: string): string {
  return path.endsWith('/') ? path + part : `${path}/${part}`
}

function difference(errorType: string, path: string): string {
  const description =
    errorType === 'TYPE_CHANGED'
      ? `A type at path '${path}' is different between the new schema and the old schema'`
      : `${errorType} at path '${path}' between the new schema and the old schema`
  return `{errorType:"${errorType}", description:"${description}"}`
}
