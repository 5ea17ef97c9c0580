import type { NameMap } from './names.js'
import type { RegistryReader } from './registry-reader.js'
import { references } from './topology.js'

/**
 * The subjects and all they refer to, directly or not, whether selected or not: without it they could not be registered. What a reading
 * missed is asked for by itself, so that no version is ever planned without its references.
 */
export async function closure(
  subjects: Iterable<string>,
  reader: RegistryReader,
  names: NameMap,
  o: { signal?: AbortSignal | undefined }
): Promise<string[]> {
  const found = new Set<string>(subjects)
  const asked = new Set<string>()
  for (let todo = [...found]; todo.length > 0; ) {
    const { table } = reader.view
    const needed = todo.flatMap(subject => table.get(subject) ?? []).flatMap(references)
    const missing = needed.filter(to => names.inSource(to.subject) && !asked.has(to.subject) && !has(table, to))
    const unread = new Set(missing.map(({ subject }) => subject))
    for (const subject of unread) asked.add(subject)
    if (unread.size > 0) await reader.readSubjects(unread, o)
    const news = new Set<string>()
    for (const { subject } of needed) if (!found.has(subject) && reader.view.table.has(subject)) news.add(subject)
    // Read anew, they can refer to others than before.
    todo = [...new Set([...news, ...[...unread].filter(subject => reader.view.table.has(subject))])]
    for (const subject of news) found.add(subject)
  }
  return [...found].filter(subject => reader.view.table.has(subject) && names.inSource(subject)).sort()
}

function has(
  table: ReadonlyMap<string, readonly { version: number }[]>,
  to: { subject: string; version: number }
): boolean {
  return table.get(to.subject)?.some(({ version }) => version === to.version) === true
}
