import type { AvroField, AvroNamed, AvroType } from './avro.js'
import { type JsonValue, writeJson } from './json-text.js'

interface Writing {
  space: string
  /** Named types that were written out, or come from references: from now on by name. */
  written: Set<string>
}

/** The text under which an Avro schema is stored: keys in a fixed order, no blanks, a named type spelled out once. */
export function writeAvro(type: AvroType, o: { byName?: Iterable<string> } = {}): string {
  return writeType(type, { space: '', written: new Set(o.byName ?? []) })
}

function writeType(type: AvroType, w: Writing): string {
  switch (type.kind) {
    case 'primitive':
      return type.extra.length === 0
        ? JSON.stringify(type.name)
        : `{"type":${JSON.stringify(type.name)}${writeExtra(type.extra)}}`
    case 'union':
      return `[${type.branches.map(branch => writeType(branch, w)).join(',')}]`
    case 'array':
      return `{"type":"array","items":${writeType(type.items, w)}${writeExtra(type.extra)}}`
    case 'map':
      return `{"type":"map","values":${writeType(type.values, w)}${writeExtra(type.extra)}}`
    case 'record':
    case 'enum':
    case 'fixed':
      return writeNamed(type, w)
  }
}

function writeNamed(type: AvroNamed, w: Writing): string {
  const dot = type.fullName.lastIndexOf('.')
  const space = dot < 0 ? '' : type.fullName.slice(0, dot)
  const name = type.fullName.slice(dot + 1)
  if (w.written.has(type.fullName)) return JSON.stringify(space === w.space ? name : type.fullName)
  w.written.add(type.fullName)
  const outer = w.space
  const parts = [`"type":"${type.kind === 'record' && type.error ? 'error' : type.kind}"`, `"name":"${name}"`]
  if (space !== outer) parts.push(`"namespace":${JSON.stringify(space)}`)
  if (type.doc !== undefined) parts.push(`"doc":${JSON.stringify(type.doc)}`)
  switch (type.kind) {
    case 'record':
      w.space = space
      parts.push(`"fields":[${type.fields.map(field => writeField(field, w)).join(',')}]`)
      w.space = outer
      break
    case 'enum':
      parts.push(`"symbols":${JSON.stringify(type.symbols)}`)
      if (type.default !== undefined) parts.push(`"default":${JSON.stringify(type.default)}`)
      break
    case 'fixed':
      parts.push(`"size":${type.size}`)
      break
  }
  const aliases = type.aliases.map(alias =>
    space !== '' && alias.startsWith(`${space}.`) ? alias.slice(space.length + 1) : alias
  )
  return `{${parts.join(',')}${writeExtra(type.extra)}${writeAliases(aliases)}}`
}

function writeField(field: AvroField, w: Writing): string {
  const parts = [`"name":${JSON.stringify(field.name)}`, `"type":${writeType(field.type, w)}`]
  if (field.doc !== undefined) parts.push(`"doc":${JSON.stringify(field.doc)}`)
  if (field.default !== undefined) parts.push(`"default":${writeJson(field.default)}`)
  if (field.order !== 'ascending') parts.push(`"order":"${field.order}"`)
  return `{${parts.join(',')}${writeAliases(field.aliases)}${writeExtra(field.extra)}}`
}

function writeAliases(aliases: string[]): string {
  return aliases.length === 0 ? '' : `,"aliases":${JSON.stringify(aliases)}`
}

function writeExtra(extra: [string, JsonValue][]): string {
  return extra.map(([key, value]) => `,${JSON.stringify(key)}:${writeJson(value)}`).join('')
}
