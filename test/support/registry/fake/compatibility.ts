import { differences, type Parsed, type ReadContent } from './formats.js'
import type { StoredConfig, StoredContent, StoredVersion } from './registry-state.js'

/** What the level of a config says against content that would follow these versions (ascending, none of them deleted). */
export function compatibilityFaults(
  config: StoredConfig,
  read: ReadContent,
  versions: StoredVersion[],
  parse: (entry: StoredVersion) => Parsed
): string[] {
  const level = String(config.compatibilityLevel)
  const group = typeof config.compatibilityGroup === 'string' ? config.compatibilityGroup : undefined
  const mine = versions.filter(entry => group === undefined || groupOf(entry, group) === groupOf(read.content, group))
  // Newest first; without TRANSITIVE only that one counts.
  const checked = level.endsWith('_TRANSITIVE') ? mine.toReversed() : mine.slice(-1)
  for (const entry of checked) {
    const found = faultsAgainst(level.replace('_TRANSITIVE', ''), read.parsed, parse(entry))
    if (found.length === 0) continue
    const sameType = read.content.schemaType === entry.schemaType
    const context = sameType ? [`{oldSchemaVersion: ${entry.version}}`, `{oldSchema: '${entry.schema}'}`] : []
    return [...found, ...context, `{validateFields: '${config.validateFields === true}', compatibility: '${level}'}`]
  }
  return []
}

function faultsAgainst(level: string, now: Parsed, before: Parsed): string[] {
  const forward = (): string[] => differences(before, now).map(swapped)
  const backward = (): string[] => differences(now, before)
  switch (level) {
    case 'BACKWARD':
      return backward()
    case 'FORWARD':
      return forward()
    case 'FULL':
      return [...new Set([...forward(), ...backward()])]
    default:
      return []
  }
}

/** Read the other way round, the old schema is the reader. */
function swapped(text: string): string {
  return text.replaceAll('new schema', '\0').replaceAll('old schema', 'new schema').replaceAll('\0', 'old schema')
}

function groupOf(content: StoredContent, group: string): string | undefined {
  return content.metadata?.properties?.[group]
}
