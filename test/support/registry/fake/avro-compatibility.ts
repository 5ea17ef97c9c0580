import { type AvroNamed, type AvroType, unionName } from './avro.js'

/** What a writer's type may become for a reader, after Avro's resolution rules. */
const promotions: Record<string, string[]> = {
  int: ['long', 'float', 'double'],
  long: ['float', 'double'],
  float: ['double'],
  string: ['bytes'],
  bytes: ['string']
}

/** Why data of `writer` cannot be read with `reader`: nothing when it can. */
export function avroDifferences(reader: AvroType, writer: AvroType): string[] {
  return compare(reader, writer, '', new Set())
}

function compare(reader: AvroType, writer: AvroType, path: string, seen: Set<string>): string[] {
  if (writer.kind === 'union') {
    return writer.branches.flatMap((branch, at) => compare(reader, branch, `${path}/${at}`, seen))
  }
  if (reader.kind === 'union') {
    if (reader.branches.some(branch => compare(branch, writer, path, seen).length === 0)) return []
    return [difference('MISSING_UNION_BRANCH', path, `reader union lacking writer type: ${typeName(writer)}`)]
  }
  if (reader.kind === 'primitive' && writer.kind === 'primitive') {
    if (reader.name === writer.name || promotions[writer.name]?.includes(reader.name) === true) return []
    return [mismatch(reader, writer, path)]
  }
  if (reader.kind === 'array' && writer.kind === 'array') {
    return compare(reader.items, writer.items, `${path}/items`, seen)
  }
  if (reader.kind === 'map' && writer.kind === 'map') {
    return compare(reader.values, writer.values, `${path}/values`, seen)
  }
  if ('fullName' in reader && 'fullName' in writer && reader.kind === writer.kind) {
    return compareNamed(reader, writer, path, seen)
  }
  return [mismatch(reader, writer, path)]
}

function compareNamed(reader: AvroNamed, writer: AvroNamed, path: string, seen: Set<string>): string[] {
  const found: string[] = []
  if (simpleName(reader.fullName) !== simpleName(writer.fullName) && !reader.aliases.includes(writer.fullName)) {
    found.push(difference('NAME_MISMATCH', `${path}/name`, `expected: ${writer.fullName}`))
  }
  if (reader.kind === 'fixed' && writer.kind === 'fixed' && reader.size !== writer.size) {
    found.push(difference('FIXED_SIZE_MISMATCH', `${path}/size`, `expected: ${writer.size}, found: ${reader.size}`))
  }
  if (reader.kind === 'enum' && writer.kind === 'enum' && reader.default === undefined) {
    const missing = writer.symbols.filter(symbol => !reader.symbols.includes(symbol))
    if (missing.length > 0) {
      found.push(difference('MISSING_ENUM_SYMBOLS', `${path}/symbols`, `[${missing.join(', ')}]`))
    }
  }
  if (reader.kind !== 'record' || writer.kind !== 'record') return found
  // A type inside itself: what is being compared further up counts as compatible.
  const pair = `${reader.fullName}\0${writer.fullName}`
  if (seen.has(pair)) return found
  seen.add(pair)
  for (const [at, field] of reader.fields.entries()) {
    const here = `${path}/fields/${at}`
    const before = writer.fields.find(other => other.name === field.name || field.aliases.includes(other.name))
    if (before !== undefined) found.push(...compare(field.type, before.type, `${here}/type`, seen))
    else if (field.default === undefined && !hasEnumDefault(field.type)) {
      found.push(difference('READER_FIELD_MISSING_DEFAULT_VALUE', here, field.name))
    }
  }
  seen.delete(pair)
  return found
}

function hasEnumDefault(type: AvroType): boolean {
  return type.kind === 'enum' && type.default !== undefined
}

function mismatch(reader: AvroType, writer: AvroType, path: string): string {
  const types = `reader type: ${typeName(reader)} not compatible with writer type: ${typeName(writer)}`
  return difference('TYPE_MISMATCH', path === '' ? '/' : path, types)
}

const descriptions: Record<string, string> = {
  TYPE_MISMATCH: 'The type (path PATH) of a field in the new schema does not match with the old schema',
  READER_FIELD_MISSING_DEFAULT_VALUE:
    'The field INFO at path PATH in the new schema has no default value and is missing in the old schema',
  NAME_MISMATCH: 'The name of the schema has changed (path PATH)',
  MISSING_ENUM_SYMBOLS: 'The new schema is missing enum symbols INFO at path PATH in the old schema',
  MISSING_UNION_BRANCH: 'The new schema is missing a type inside a union field at path PATH in the old schema',
  FIXED_SIZE_MISMATCH: 'The size of FIXED type field at path PATH in the new schema does not match with the old schema'
}

function difference(errorType: string, path: string, info: string): string {
  const description = (descriptions[errorType] ?? '').replace('PATH', `'${path}'`).replace('INFO', `'${info}'`)
  return `{errorType:'${errorType}', description:'${description}', additionalInfo:'${info}'}`
}

function typeName(type: AvroType): string {
  return type.kind === 'primitive'
    ? type.name.toUpperCase()
    : ('fullName' in type ? type.kind : unionName(type)).toUpperCase()
}

function simpleName(fullName: string): string {
  return fullName.slice(fullName.lastIndexOf('.') + 1)
}
