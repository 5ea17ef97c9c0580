import { faults } from './registry-fault.js'
import { mergeMetadata, orderedMetadata } from './registry-settings.js'
import type { StoredConfig, StoredMetadata, StoredReference, StoredVersion } from './registry-state.js'

export interface RegisterRequest {
  /** Absent or 0: the next one. -1: the same, and the version is written into the metadata. */
  version: number
  /** Below 0: none. */
  id: number
  schema: string | undefined
  schemaType: string
  references: StoredReference[]
  metadata: StoredMetadata | undefined
  ruleSet: unknown
}

export const confluentVersion = 'confluent:version'

/** What a request leaves out is taken from the last version, then from the config. The same object: there was nothing to take. */
export function fillIn(
  request: RegisterRequest,
  config: StoredConfig,
  previous: StoredVersion | undefined,
  next: number
): RegisterRequest {
  let filled = request
  if (request.schema === undefined || request.schema.trim() === '') {
    if (previous === undefined) throw faults.invalidSchema('Empty schema')
    const { schema, schemaType, references } = previous
    filled = { ...filled, schema, schemaType, references }
  }
  const own = request.metadata ?? previous?.metadata
  let metadata = mergeMetadata(
    mergeMetadata(config.defaultMetadata as StoredMetadata | undefined, own),
    config.overrideMetadata as StoredMetadata | undefined
  )
  const ruleSet = mergeRuleSets(
    mergeRuleSets(config.defaultRuleSet, request.ruleSet ?? previous?.ruleSet),
    config.overrideRuleSet
  )
  if (request.version !== 0 || metadata?.properties?.[confluentVersion] !== undefined) {
    const properties = { ...metadata?.properties, [confluentVersion]: String(next) }
    metadata = orderedMetadata({ ...metadata, properties })
  }
  return metadata === undefined && ruleSet === undefined ? filled : { ...filled, metadata, ruleSet }
}

/** Rules of the newer set replace those of the same name. */
function mergeRuleSets(older: unknown, newer: unknown): unknown {
  if (older === undefined || newer === undefined) return newer ?? older
  const merged: Record<string, unknown> = {}
  for (const key of ['migrationRules', 'domainRules']) {
    const before = rulesOf(older, key)
    const after = rulesOf(newer, key)
    const kept = before.filter(rule => !after.some(other => other.name === rule.name))
    if (kept.length + after.length > 0) merged[key] = [...kept, ...after]
  }
  return merged
}

function rulesOf(ruleSet: unknown, key: string): { name: string }[] {
  return (ruleSet as Record<string, { name: string }[] | undefined>)[key] ?? []
}

export function hasDefaults(config: StoredConfig): boolean {
  return ['defaultMetadata', 'overrideMetadata', 'defaultRuleSet', 'overrideRuleSet'].some(
    key => config[key] !== undefined
  )
}
