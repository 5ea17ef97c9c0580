import { createHash } from 'node:crypto'
import type { SchemaVersion } from './registry-types.js'

/** How often each text is there. */
export type TextCounts = ReadonlyMap<string, number>

export function countTexts(texts: Iterable<string>): Map<string, number> {
  const counts = new Map<string, number>()
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1)
  return counts
}

export function* liveTexts(table: Iterable<readonly SchemaVersion[]>): Iterable<string> {
  for (const versions of table) for (const { schema, deleted } of versions) if (!deleted) yield schema
}

/** Which texts came and which went, by how often they are there. */
export function textChanges(before: TextCounts, after: TextCounts): { added: Set<string>; removed: Set<string> } {
  const added = new Set<string>()
  const removed = new Set<string>()
  for (const [text, count] of after) if (count > (before.get(text) ?? 0)) added.add(text)
  for (const [text, count] of before) if (count > (after.get(text) ?? 0)) removed.add(text)
  return { added, removed }
}

export function hashTexts(texts: readonly string[]): string {
  const hash = createHash('sha256')
  for (const text of texts) hash.update(`${text.length}:${text}`)
  return hash.digest('hex')
}
