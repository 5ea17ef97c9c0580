import { type JsonValue, member, readJson, textOf, writeJson } from './json-text.js'

export type AvroType =
  | { kind: 'primitive'; name: string; extra: [string, JsonValue][] }
  | { kind: 'array'; items: AvroType; extra: [string, JsonValue][] }
  | { kind: 'map'; values: AvroType; extra: [string, JsonValue][] }
  | { kind: 'union'; branches: AvroType[] }
  | AvroNamed

export type AvroNamed = { fullName: string; doc?: string; aliases: string[]; extra: [string, JsonValue][] } & (
  | { kind: 'record'; error: boolean; fields: AvroField[] }
  | { kind: 'enum'; symbols: string[]; default?: string }
  | { kind: 'fixed'; size: number }
)

export interface AvroField {
  name: string
  type: AvroType
  doc?: string
  default?: JsonValue
  order: string
  aliases: string[]
  extra: [string, JsonValue][]
}

const primitives = new Set(['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string'])
const orders = new Set(['ascending', 'descending', 'ignore'])

export class AvroError extends Error {}

/** `known`: types by full name that references bring; what this schema defines is added. */
export function readAvro(text: string, known = new Map<string, AvroNamed>()): AvroType {
  return readType(readJson(text), '', known)
}

function readType(value: JsonValue, space: string, known: Map<string, AvroNamed>): AvroType {
  if (value.kind === 'string') return named(value.value, space, known)
  if (value.kind === 'array') return readUnion(value.items, space, known)
  if (value.kind !== 'object') throw new AvroError(`Schema not yet supported: ${writeJson(value)}`)
  const type = textOf(member(value, 'type'))
  if (type === undefined) throw new AvroError(`No type: ${writeJson(value)}`)
  switch (type) {
    case 'record':
    case 'error':
    case 'enum':
    case 'fixed':
      return readNamed(value, type, space, known)
    case 'array':
    case 'map': {
      const inner = member(value, type === 'array' ? 'items' : 'values')
      if (inner === undefined) throw new AvroError(`${type} has no type: ${writeJson(value)}`)
      const read = readType(inner, space, known)
      return type === 'array'
        ? { kind: 'array', items: read, extra: others(value, ['type', 'items']) }
        : { kind: 'map', values: read, extra: others(value, ['type', 'values']) }
    }
    default:
      if (primitives.has(type)) return { kind: 'primitive', name: type, extra: others(value, ['type']) }
      return named(type, space, known)
  }
}

function readUnion(items: JsonValue[], space: string, known: Map<string, AvroNamed>): AvroType {
  const branches = items.map(item => readType(item, space, known))
  const seen = new Set<string>()
  for (const branch of branches) {
    if (branch.kind === 'union') throw new AvroError('Nested union: ' + items.map(item => writeJson(item)).join(','))
    const name = unionName(branch)
    if (seen.has(name)) throw new AvroError(`Duplicate in union:${name}`)
    seen.add(name)
  }
  return { kind: 'union', branches }
}

export function unionName(type: AvroType): string {
  if (type.kind === 'primitive') return type.name
  return 'fullName' in type ? type.fullName : type.kind
}

function named(name: string, space: string, known: Map<string, AvroNamed>): AvroType {
  if (primitives.has(name)) return { kind: 'primitive', name, extra: [] }
  const full = name.includes('.') || space === '' ? name : `${space}.${name}`
  const found = known.get(full) ?? known.get(name)
  if (found === undefined) throw new AvroError(`Undefined name: ${JSON.stringify(name)}`)
  return found
}

function readNamed(
  value: JsonValue,
  kind: 'record' | 'error' | 'enum' | 'fixed',
  space: string,
  known: Map<string, AvroNamed>
): AvroType {
  const given = textOf(member(value, 'name'))
  if (given === undefined) throw new AvroError(`No name in schema: ${writeJson(value)}`)
  const ownSpace = textOf(member(value, 'namespace')) ?? space
  const fullName = given.includes('.') || ownSpace === '' ? given : `${ownSpace}.${given}`
  const inside = fullName.includes('.') ? fullName.slice(0, fullName.lastIndexOf('.')) : ''
  for (const part of fullName.split('.')) checkName(part)
  if (primitives.has(fullName)) throw new AvroError(`Schemas may not be named after primitives: ${fullName}`)
  if (known.has(fullName)) throw new AvroError(`Can't redefine: ${fullName}`)
  const doc = textOf(member(value, 'doc'))
  const base = {
    fullName,
    ...(doc === undefined ? {} : { doc }),
    aliases: readAliases(value, inside)
  }
  if (kind === 'fixed') {
    const size = member(value, 'size')
    if (size?.kind !== 'number' || !/^\d+$/.test(size.text)) {
      throw new AvroError(`Invalid or no size: ${writeJson(value)}`)
    }
    const extra = others(value, ['type', 'name', 'namespace', 'doc', 'aliases', 'size'])
    return define(known, { kind, ...base, size: Number(size.text), extra })
  }
  if (kind === 'enum') return define(known, { kind, ...base, ...readEnum(value) })
  const record: AvroNamed & { kind: 'record' } = {
    kind: 'record',
    ...base,
    error: kind === 'error',
    fields: [],
    extra: others(value, ['type', 'name', 'namespace', 'doc', 'aliases', 'fields'])
  }
  define(known, record)
  const fields = member(value, 'fields')
  if (fields?.kind !== 'array') throw new AvroError(`Record has no fields: ${writeJson(value)}`)
  for (const item of fields.items) {
    const field = readField(item, inside, known)
    if (record.fields.some(other => other.name === field.name)) {
      throw new AvroError(`Duplicate field ${field.name} in record ${fullName}`)
    }
    record.fields.push(field)
  }
  return record
}

function readEnum(value: JsonValue): { symbols: string[]; default?: string; extra: [string, JsonValue][] } {
  const list = member(value, 'symbols')
  if (list?.kind !== 'array') throw new AvroError(`Enum has no symbols: ${writeJson(value)}`)
  const symbols = list.items.map(item => textOf(item) ?? '')
  for (const [at, symbol] of symbols.entries()) {
    checkName(symbol)
    if (symbols.indexOf(symbol) < at) throw new AvroError(`Duplicate enum symbol: ${symbol}`)
  }
  const fallback = textOf(member(value, 'default'))
  if (fallback !== undefined && !symbols.includes(fallback)) {
    throw new AvroError(`The Enum Default: ${fallback} is not in the enum symbol set: [${symbols.join(', ')}]`)
  }
  const extra = others(value, ['type', 'name', 'namespace', 'doc', 'aliases', 'symbols', 'default'])
  return { symbols, ...(fallback === undefined ? {} : { default: fallback }), extra }
}

function readField(value: JsonValue, space: string, known: Map<string, AvroNamed>): AvroField {
  const name = textOf(member(value, 'name'))
  if (name === undefined) throw new AvroError(`No field name: ${writeJson(value)}`)
  const type = member(value, 'type')
  if (type === undefined) throw new AvroError(`No field type: ${writeJson(value)}`)
  checkName(name)
  const order = (textOf(member(value, 'order')) ?? 'ascending').toLowerCase()
  if (!orders.has(order)) {
    throw new AvroError(`No enum constant org.apache.avro.Schema.Field.Order.${order.toUpperCase()}`)
  }
  const doc = textOf(member(value, 'doc'))
  const fallback = member(value, 'default')
  return {
    name,
    type: readType(type, space, known),
    ...(doc === undefined ? {} : { doc }),
    ...(fallback === undefined ? {} : { default: fallback }),
    order,
    aliases: readAliases(value, ''),
    extra: others(value, ['name', 'type', 'doc', 'default', 'order', 'aliases'])
  }
}

function readAliases(value: JsonValue, space: string): string[] {
  const aliases = member(value, 'aliases')
  if (aliases === undefined) return []
  if (aliases.kind !== 'array') throw new AvroError(`aliases not an array: ${writeJson(value)}`)
  return aliases.items.map(item => {
    if (item.kind !== 'string') throw new AvroError(`alias not a string: ${writeJson(item)}`)
    return item.value.includes('.') || space === '' ? item.value : `${space}.${item.value}`
  })
}

function define<T extends AvroNamed>(known: Map<string, AvroNamed>, type: T): T {
  known.set(type.fullName, type)
  return type
}

function checkName(name: string): void {
  if (name === '') throw new AvroError('Empty name')
  if (!/^[\p{L}_]/u.test(name)) throw new AvroError(`Illegal initial character: ${name}`)
  if (!/^[\p{L}\p{N}_]+$/u.test(name)) throw new AvroError(`Illegal character in: ${name}`)
}

function others(value: JsonValue, known: string[]): [string, JsonValue][] {
  return value.kind === 'object' ? value.entries.filter(([key]) => !known.includes(key)) : []
}
