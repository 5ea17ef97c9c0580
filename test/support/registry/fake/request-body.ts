import type { RegisterRequest } from './fill-in.js'
import { faults, RegistryFault } from './registry-fault.js'
import { compatibilityLevels, orderedMetadata } from './registry-settings.js'
import type { StoredConfig, StoredMetadata, StoredReference } from './registry-state.js'

type Json = Record<string, unknown>

/** Bodies as the registry's JSON library takes them: numbers pass for text, text for numbers, unknown keys are ignored. */
export function jsonBody(text: string): Json {
  if (text.trim() === '') throw faults.emptyBody()
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    throw faults.badJson('Unexpected end-of-input or token')
  }
  if (body === null) throw faults.emptyBody()
  return object(body, 'the request')
}

export function registerRequest(body: Json): RegisterRequest {
  return {
    version: integer(body.version, 'version') ?? 0,
    id: integer(body.id, 'id') ?? -1,
    schema: text(body.schema, 'schema'),
    schemaType: text(body.schemaType, 'schemaType') ?? 'AVRO',
    references: (list(body.references, 'references') ?? []).map(reference),
    metadata: metadataOf(body.metadata),
    ruleSet: ruleSetOf(body.ruleSet)
  }
}

/** What a PUT /config asks for. Its level is called `compatibility`; what is null is not asked for. */
export function configRequest(body: Json, o: { ruleSets: boolean }): { update: StoredConfig; echo: Json } {
  const level = text(body.compatibility, 'compatibility')
  if (level !== undefined && !compatibilityLevels.includes(level.toUpperCase())) throw faults.invalidCompatibility()
  const common = without({
    alias: text(body.alias, 'alias'),
    normalize: flag(body.normalize, 'normalize'),
    validateFields: flag(body.validateFields, 'validateFields'),
    validateRules: flag(body.validateRules, 'validateRules'),
    compatibilityGroup: text(body.compatibilityGroup, 'compatibilityGroup'),
    defaultMetadata: metadataOf(body.defaultMetadata),
    overrideMetadata: metadataOf(body.overrideMetadata),
    defaultRuleSet: o.ruleSets ? ruleSetOf(body.defaultRuleSet) : undefined,
    overrideRuleSet: o.ruleSets ? ruleSetOf(body.overrideRuleSet) : undefined
  })
  return {
    update: { ...common, ...(level === undefined ? {} : { compatibilityLevel: level.toUpperCase() }) },
    echo: { ...common, ...(level === undefined ? {} : { compatibility: level }) }
  }
}

export function modeRequest(body: Json): string {
  const mode = text(body.mode, 'mode')
  if (mode === undefined) throw new RegistryFault(500, 500, 'Internal Server Error')
  return mode
}

function reference(value: unknown): StoredReference {
  const entry = object(value, 'a reference')
  return without({
    name: text(entry.name, 'name'),
    subject: text(entry.subject, 'subject'),
    version: integer(entry.version, 'version')
  }) as unknown as StoredReference
}

function metadataOf(value: unknown): StoredMetadata | undefined {
  if (value === undefined || value === null) return undefined
  const metadata = object(value, 'metadata')
  const tags = Object.entries(object(metadata.tags ?? {}, 'tags')).map(
    ([key, tag]) => [key, (list(tag, 'tags') ?? []).map(String)] as const
  )
  const properties = Object.entries(object(metadata.properties ?? {}, 'properties')).map(
    ([key, property]) => [key, text(property, key) ?? ''] as const
  )
  return orderedMetadata({
    tags: Object.fromEntries(tags),
    properties: Object.fromEntries(properties),
    sensitive: (list(metadata.sensitive, 'sensitive') ?? []).map(String)
  })
}

function ruleSetOf(value: unknown): unknown {
  return value === undefined || value === null ? undefined : object(value, 'ruleSet')
}

function object(value: unknown, what: string): Json {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  throw faults.badJson(`Cannot deserialize ${what} from ${JSON.stringify(value)}`)
}

function list(value: unknown, what: string): unknown[] | undefined {
  if (value === undefined || value === null) return undefined
  if (Array.isArray(value)) return value as unknown[]
  throw faults.badJson(`Cannot deserialize ${what} from ${JSON.stringify(value)}`)
}

function text(value: unknown, what: string): string | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw faults.badJson(`Cannot deserialize ${what} from ${JSON.stringify(value)}`)
}

function integer(value: unknown, what: string): number | undefined {
  if (value === undefined || value === null || value === '') return undefined
  const number = typeof value === 'string' || typeof value === 'number' ? Math.trunc(Number(value)) : NaN
  if (Number.isNaN(number) || Math.abs(number) > 2 ** 31) {
    throw faults.badJson(`Cannot deserialize ${what} as Integer from ${JSON.stringify(value)}`)
  }
  return number
}

function flag(value: unknown, what: string): boolean | undefined {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'boolean') return value
  if (typeof value === 'number') return value !== 0
  if (value === 'true' || value === 'false') return value === 'true'
  throw faults.badJson(`Cannot deserialize ${what} as Boolean from ${JSON.stringify(value)}`)
}

function without(entries: Json): Json {
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== undefined))
}
