import type { ProtoEnum, ProtoField, ProtoFile, ProtoMessage } from './protobuf-file.js'

const scalars = new Set(
  'double float int32 int64 uint32 uint64 sint32 sint64 fixed32 fixed64 sfixed32 sfixed64 bool string bytes'.split(' ')
)
/** Ship with every compiler, or with Confluent's serializers. */
const known = /^(google\.(protobuf|type)|confluent)\./

/** Types that have the same bytes on the wire. */
const wireGroups = [
  ['int32', 'uint32', 'int64', 'uint64', 'bool'],
  ['sint32', 'sint64'],
  ['string', 'bytes'],
  ['fixed32', 'sfixed32'],
  ['fixed64', 'sfixed64']
]

/** Full name → fields by tag, or undefined for an enum. */
function typesOf(file: ProtoFile): Map<string, Map<number, ProtoField> | undefined> {
  const types = new Map<string, Map<number, ProtoField> | undefined>()
  const add = (scope: string, messages: ProtoMessage[], enums: ProtoEnum[]): void => {
    for (const type of enums) types.set(scope + type.name, undefined)
    for (const message of messages) {
      types.set(scope + message.name, new Map(allFields(message).map(field => [field.tag, field])))
      add(`${scope}${message.name}.`, message.messages, message.enums)
    }
  }
  add(file.package === '' ? '' : `${file.package}.`, file.messages, file.enums)
  return types
}

function allFields(message: ProtoMessage): ProtoField[] {
  return [...message.fields, ...message.oneofs.flatMap(oneof => oneof.fields)]
}

/** The first type that neither the file nor what it refers to defines. */
export function unresolvedType(file: ProtoFile, references: ProtoFile[]): string | undefined {
  const names = new Set([file, ...references].flatMap(each => [...typesOf(each).keys()]))
  const search = (scope: string, message: ProtoMessage): string | undefined => {
    const inside = scope === '' ? message.name : `${scope}.${message.name}`
    for (const field of allFields(message)) {
      const type = field.type.startsWith('map<') ? (field.type.slice(4, -1).split(', ')[1] ?? '') : field.type
      if (!resolves(type, inside, names)) return type
    }
    for (const inner of message.messages) {
      const found = search(inside, inner)
      if (found !== undefined) return found
    }
    return undefined
  }
  for (const message of file.messages) {
    const found = search(file.package, message)
    if (found !== undefined) return found
  }
  return undefined
}

function resolves(type: string, scope: string, names: Set<string>): boolean {
  if (scalars.has(type) || known.test(type)) return true
  if (type.startsWith('.')) return names.has(type.slice(1)) || known.test(type.slice(1))
  for (let outer = scope; ; outer = outer.slice(0, Math.max(outer.lastIndexOf('.'), 0))) {
    if (names.has(outer === '' ? type : `${outer}.${type}`)) return true
    if (outer === '') return false
  }
}

/**
 * A conservative check, by no means Confluent's: a message that is gone, a package that changed, a field whose type, tag or label is not
 * the same on the wire, a field that moved into an existing oneof. Added and removed fields are fine.
 */
export function protobufDifferences(reader: ProtoFile, writer: ProtoFile): string[] {
  if (reader.package !== writer.package) return [difference('PACKAGE_CHANGED', '#/')]
  const now = typesOf(reader)
  const found: string[] = []
  for (const [name, before] of typesOf(writer)) {
    const path = `#/${reader.package === '' ? name : name.slice(reader.package.length + 1)}`
    const fields = now.get(name)
    if (before === undefined) continue
    if (fields === undefined) {
      found.push(difference('MESSAGE_REMOVED', path))
      continue
    }
    for (const [tag, field] of before) {
      const next = fields.get(tag)
      if (next === undefined || sameOnWire(next, field)) continue
      found.push(difference('FIELD_SCALAR_KIND_CHANGED', `${path}/${tag}`))
    }
  }
  return found
}

function sameOnWire(a: ProtoField, b: ProtoField): boolean {
  const same = a.type === b.type || wireGroups.some(group => group.includes(a.type) && group.includes(b.type))
  return same && (a.label === 'repeated') === (b.label === 'repeated')
}

function difference(errorType: string, path: string): string {
  const description =
    errorType === 'FIELD_SCALAR_KIND_CHANGED'
      ? `The kind of a SCALAR field at path '${path}' in the new schema does not match its kind in the old schema`
      : `${errorType} at path '${path}' between the new schema and the old schema`
  return `{errorType:"${errorType}", description:"${description}"}`
}
