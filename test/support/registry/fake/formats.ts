import { AvroError, type AvroNamed, type AvroType, readAvro } from './avro.js'
import { avroDifferences } from './avro-compatibility.js'
import { writeAvro } from './avro-text.js'
import { jsonSchemaDifferences, jsonSchemaFault } from './json-schema.js'
import { JsonTextError, type JsonValue, readJson, writeJson } from './json-text.js'
import { ProtobufError, readProtobuf } from './protobuf.js'
import type { ProtoFile } from './protobuf-file.js'
import { writeProtobuf } from './protobuf-text.js'
import { protobufDifferences, unresolvedType } from './protobuf-types.js'
import { faults } from './registry-fault.js'
import type { StoredContent, StoredReference, StoredVersion } from './registry-state.js'

export const schemaTypes = ['JSON', 'PROTOBUF', 'AVRO']

export type Parsed =
  | { type: 'AVRO'; schema: AvroType; names: string[] }
  | { type: 'JSON'; schema: JsonValue }
  | { type: 'PROTOBUF'; schema: ProtoFile }

/** Content as it would be stored, and what it means. */
export interface ReadContent {
  content: StoredContent
  parsed: Parsed
}

/** The version a reference means, seen from a subject; soft-deleted ones count. `-1` is the latest. */
export type FindReferenced = (parent: string, reference: StoredReference) => StoredVersion | undefined

/** How content is read: only new content outside IMPORT is checked for more than its syntax. */
export interface Reading {
  subject: string
  find: FindReferenced
  validate: boolean
  normalize: boolean
  /** For the words of an error. */
  version: number
  id: number
}

/** The text in the registry's own layout, references with their versions; throws 42201. */
export function readContent(content: StoredContent, reading: Reading): ReadContent {
  if (!schemaTypes.includes(content.schemaType)) throw faults.invalidSchema(`Invalid schema type ${content.schemaType}`)
  try {
    const references = content.references.map(reference => resolveLatest(reading, reference))
    const texts = referencedTexts({ ...content, references }, reading)
    const read = { ...content, references }
    if (reading.normalize) read.references = sortedReferences(references)
    const parsed = parse(content, [...texts.values()])
    if (reading.validate) validate(parsed, [...texts.keys()], [...texts.values()])
    return { content: { ...read, schema: write(parsed, reading.normalize) }, parsed }
  } catch (error) {
    if (!(error instanceof Unreadable || error instanceof AvroError || isTextError(error))) throw error
    const from =
      error instanceof Invalid ? '' : ` with refs ${listed(content.references)} of type ${content.schemaType}`
    throw faults.invalidSchema(`Invalid schema ${describe(content, reading)}${from}, details: ${error.message}`)
  }
}

class Unreadable extends Error {}

/** It can be read, but makes no sense. */
class Invalid extends Unreadable {}

function isTextError(error: unknown): error is Error {
  return error instanceof JsonTextError || error instanceof ProtobufError
}

function parse(content: StoredContent, texts: string[]): Parsed {
  switch (content.schemaType) {
    case 'JSON':
      return { type: 'JSON', schema: readJson(content.schema) }
    case 'PROTOBUF':
      return { type: 'PROTOBUF', schema: readProtobuf(content.schema) }
    default: {
      const known = new Map<string, AvroNamed>()
      for (const text of texts) readAvro(text, known)
      const names = [...known.keys()]
      return { type: 'AVRO', schema: readAvro(content.schema, known), names }
    }
  }
}

function validate(parsed: Parsed, names: string[], texts: string[]): void {
  if (parsed.type === 'JSON' && jsonSchemaFault(parsed.schema, names) !== undefined) {
    throw new Invalid('Invalid JSON Schema')
  }
  if (parsed.type === 'PROTOBUF') {
    const missing = unresolvedType(parsed.schema, texts.map(readProtobuf))
    if (missing !== undefined) throw new Invalid(`Could not resolve type: ${missing}`)
  }
}

function write(parsed: Parsed, normalize: boolean): string {
  switch (parsed.type) {
    case 'AVRO':
      return writeAvro(parsed.schema, { byName: parsed.names })
    case 'JSON':
      return writeJson(parsed.schema, { sortKeys: normalize })
    case 'PROTOBUF':
      return writeProtobuf(parsed.schema)
  }
}

/** What both mean, with references spelled out where the format can: two such texts are the same schema. */
export function resolvedText(parsed: Parsed): string {
  return parsed.type === 'AVRO' ? writeAvro(parsed.schema) : write(parsed, true)
}

/** Why `reader` cannot read what was written with `writer`; nothing when it can. */
export function differences(reader: Parsed, writer: Parsed): string[] {
  if (reader.type === 'AVRO' && writer.type === 'AVRO') return avroDifferences(reader.schema, writer.schema)
  if (reader.type === 'JSON' && writer.type === 'JSON') return jsonSchemaDifferences(reader.schema, writer.schema)
  if (reader.type === 'PROTOBUF' && writer.type === 'PROTOBUF') return protobufDifferences(reader.schema, writer.schema)
  return ['Incompatible because of different schema type']
}

function resolveLatest(reading: Reading, reference: StoredReference): StoredReference {
  const { name, subject, version } = reference as Partial<StoredReference>
  if (name === undefined || subject === undefined || version === undefined) {
    throw new Unreadable(`Invalid reference: ${describeReference(reference)}`)
  }
  if (version <= 0 && version !== -1) throw new Unreadable(`InvalidVersionException: ${version}`)
  if (version !== -1) return reference
  return { ...reference, version: findOrThrow(reading.subject, reference, reading.find).version }
}

/** Texts of everything referred to, directly or not, by the name it is referred to; what others need comes first. */
function referencedTexts(content: StoredContent, reading: Reading): Map<string, string> {
  const texts = new Map<string, string>()
  const visited = new Set<string>()
  const visit = (parent: string, references: StoredReference[]): void => {
    for (const reference of references) {
      const found = findOrThrow(parent, reference, reading.find)
      if (visited.has(reference.name)) continue
      visited.add(reference.name)
      visit(found.subject, found.references)
      texts.set(reference.name, found.schema)
    }
  }
  visit(reading.subject, content.references)
  return texts
}

function findOrThrow(parent: string, reference: StoredReference, find: FindReferenced): StoredVersion {
  const found = find(parent, reference)
  if (found !== undefined) return found
  throw new Unreadable(`No schema reference found for subject "${reference.subject}" and version ${reference.version}`)
}

function sortedReferences(references: StoredReference[]): StoredReference[] {
  const byText = new Map(references.map(reference => [JSON.stringify(Object.values(reference)), reference]))
  return [...byText.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, reference]) => reference)
}

function describe(content: StoredContent, { subject, version, id }: Reading): string {
  const metadata = content.metadata === undefined ? 'null' : JSON.stringify(content.metadata)
  const ruleSet = content.ruleSet === undefined ? 'null' : JSON.stringify(content.ruleSet)
  return `{subject=${subject},version=${version},id=${id},schemaType=${content.schemaType},references=${listed(content.references)},metadata=${metadata},ruleSet=${ruleSet},schema=${content.schema},schemaTags=null}`
}

function listed(references: StoredReference[]): string {
  return `[${references.map(describeReference).join(', ')}]`
}

function describeReference(reference: StoredReference): string {
  const { name, subject, version } = reference as Partial<StoredReference>
  return `{name='${name ?? 'null'}', subject='${subject ?? 'null'}', version=${version ?? 'null'}}`
}
