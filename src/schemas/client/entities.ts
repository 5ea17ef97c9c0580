import type {
  RegistryLevelConfig,
  RegistryMode,
  SchemaContent,
  SchemaReference,
  SchemaVersion
} from '../registry-types.js'

/** A version as it was answered: servers before 8.0 do not say whether it is deleted. */
export type ToldVersion = Omit<SchemaVersion, 'deleted'> & { deleted?: boolean | undefined }

const MODES: readonly RegistryMode[] = ['READWRITE', 'READONLY', 'READONLY_OVERRIDE', 'IMPORT', 'FORWARD']

/** Undefined where it is no such thing. */
export function contentOf(body: unknown): SchemaContent | undefined {
  const { schema, schemaType, references, metadata, ruleSet } = fieldsOf(body)
  if (typeof schema !== 'string') return undefined
  const refers = referencesOf(references ?? [])
  if (refers === undefined) return undefined
  return {
    schemaType: typeof schemaType === 'string' && schemaType !== '' ? schemaType : 'AVRO',
    schema,
    references: refers,
    ...(isSet(metadata) ? { metadata } : {}),
    ...(isSet(ruleSet) ? { ruleSet } : {})
  }
}

/** `asked`: what it is about, for servers that leave it out. */
export function versionOf(body: unknown, asked: { subject?: string; version?: number } = {}): ToldVersion | undefined {
  const content = contentOf(body)
  const { subject = asked.subject, version = asked.version, id, deleted } = fieldsOf(body)
  if (content === undefined || typeof subject !== 'string' || !isWhole(version) || !isWhole(id)) return undefined
  return { subject, version, id, ...content, ...(typeof deleted === 'boolean' ? { deleted } : {}) }
}

export function textOf(body: unknown): string | undefined {
  const { schema } = fieldsOf(body)
  return typeof schema === 'string' ? schema : undefined
}

/** The answer to a look-up, whose text is known already. */
export function lookedUpOf(body: unknown, asked: string): { subject: string; version: number; id: number } | undefined {
  const { subject = asked, version, id } = fieldsOf(body)
  return typeof subject === 'string' && isWhole(version) && isWhole(id) ? { subject, version, id } : undefined
}

export function usesIn(body: unknown): { subject: string; version: number }[] | undefined {
  return listOf(body, each => {
    const { subject, version } = fieldsOf(each)
    return typeof subject === 'string' && isWhole(version) ? { subject, version } : undefined
  })
}

export function contextIdsIn(body: unknown): { context: string; id: number }[] | undefined {
  return listOf(body, each => {
    const { context, id } = fieldsOf(each)
    return typeof context === 'string' && isWhole(id) ? { context, id } : undefined
  })
}

export function registeredOf(body: unknown): { id: number; version?: number | undefined } | undefined {
  const { id, version } = fieldsOf(body)
  if (!isWhole(id)) return undefined
  return isWhole(version) ? { id, version } : { id }
}

export function stringsOf(body: unknown): string[] | undefined {
  return listOf(body, each => (typeof each === 'string' ? each : undefined))
}

export function numbersOf(body: unknown): number[] | undefined {
  return listOf(body, each => (isWhole(each) ? each : undefined))
}

/** Undefined where an entry is not what it should be, or it is no list at all. */
export function listOf<T>(body: unknown, one: (each: unknown) => T | undefined): T[] | undefined {
  if (!Array.isArray(body)) return undefined
  const list: T[] = []
  for (const each of body) {
    const entry = one(each)
    if (entry === undefined) return undefined
    list.push(entry)
  }
  return list
}

/** What is answered is `compatibilityLevel`, what is sent is `compatibility`. */
export function levelConfigOf(body: unknown): RegistryLevelConfig | undefined {
  const fields = fieldsOf(body)
  const config: RegistryLevelConfig = {}
  const level = fields['compatibilityLevel'] ?? fields['compatibility']
  if (typeof level === 'string') config.compatibilityLevel = level
  for (const name of ['alias', 'compatibilityGroup'] as const) {
    const value = fields[name]
    if (typeof value === 'string') config[name] = value
  }
  for (const name of ['normalize', 'validateFields', 'validateRules'] as const) {
    const value = fields[name]
    if (typeof value === 'boolean') config[name] = value
  }
  for (const name of ['defaultMetadata', 'overrideMetadata', 'defaultRuleSet', 'overrideRuleSet'] as const) {
    if (isSet(fields[name])) config[name] = fields[name]
  }
  return Object.keys(config).length === 0 ? undefined : config
}

export function levelConfigBody({ compatibilityLevel, ...rest }: RegistryLevelConfig): Record<string, unknown> {
  return compatibilityLevel === undefined ? rest : { compatibility: compatibilityLevel, ...rest }
}

/** Modes are compared without case, as the registry does. */
export function modeOf(body: unknown): RegistryMode | undefined {
  const { mode } = fieldsOf(body)
  if (typeof mode !== 'string') return undefined
  const upper = mode.toUpperCase()
  return MODES.find(known => known === upper)
}

/** As registries of any age take it: what is the default is left out. */
export function contentBody(content: SchemaContent): Record<string, unknown> {
  const { schemaType, schema, references, metadata, ruleSet } = content
  return {
    schema,
    ...(schemaType === 'AVRO' ? {} : { schemaType }),
    ...(references.length === 0 ? {} : { references }),
    ...(isSet(metadata) ? { metadata } : {}),
    ...(isSet(ruleSet) ? { ruleSet } : {})
  }
}

function referencesOf(body: unknown): SchemaReference[] | undefined {
  return listOf(body, each => {
    const { name, subject, version } = fieldsOf(each)
    if (typeof name !== 'string' || typeof subject !== 'string' || !isWhole(version)) return undefined
    return { name, subject, version }
  })
}

function fieldsOf(body: unknown): Record<string, unknown> {
  return typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {}
}

function isWhole(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value)
}

function isSet(value: unknown): boolean {
  return value !== undefined && value !== null
}
