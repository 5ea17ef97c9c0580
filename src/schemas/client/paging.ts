import { TwinlogError } from '../../errors.js'

export interface Page {
  offset: number
  limit: number
}

/** A page, everything (no page given), or undefined: there is no such list. */
export type AskPage<T> = (page?: Page) => Promise<T[] | undefined>

/**
 * What is known of how a registry pages a kind of list. Servers have limits of their own (Confluent: 1,000 schemas, 20,000 subjects by
 * default, both configurable) and do not say when they cut. A page that is shorter than asked for is surely the end only where a longer one
 * has been seen.
 */
export interface PagingMemory {
  longest: number
  /** Offset is ignored: what is shorter than asked for is all there is. */
  ignored: boolean
}

/** No registry is set up to cut lists shorter than that; without it the three versions of each subject would be asked for twice. */
const SMALLEST_CUT = 100

/** Lists that change faster than they are read. */
const MOST_STEPS_BACK = 20

export function pagingMemory(): PagingMemory {
  return { longest: 0, ignored: false }
}

/**
 * The full list, whether the server pages or ignores the parameters. Each page begins with the last entry of the one before it: an entry
 * that is deleted between two requests moves all later ones, and without the overlap one of them would be missed and taken for deleted.
 */
export async function listAll<T>(
  ask: AskPage<T>,
  key: (entry: T) => string,
  limit: number,
  memory: PagingMemory
): Promise<T[] | undefined> {
  const found = new Map<string, T>()
  const add = (page: T[]) => {
    const before = found.size
    for (const entry of page) found.set(key(entry), entry)
    return found.size > before
  }
  let stepsBack = 0
  let offset = 0
  let beginning: string | undefined
  for (;;) {
    const page = await ask({ offset, limit })
    if (page === undefined) return undefined
    const first = page[0] === undefined ? undefined : key(page[0])
    if (offset === 0) {
      beginning = first
      found.clear()
      add(page)
      if (page.length > limit || isEnd(page, limit, memory)) break
    } else if (first === undefined || !found.has(first)) {
      if (++stepsBack > MOST_STEPS_BACK) throw restless()
      offset = Math.max(0, offset - Math.ceil(limit / 2))
      continue
    } else {
      const news = add(page)
      if (!news && first === beginning && page.length > 1) {
        memory.ignored = true
        return page.length === limit ? ask() : [...found.values()]
      }
      if (page.length === 1 || isEnd(page, limit, memory)) break
    }
    offset += page.length - 1
  }
  return [...found.values()]
}

/** The same for entries that cannot be told apart: changes between two requests are not noticed. */
export async function listRaw<T>(ask: AskPage<T>, limit: number, memory: PagingMemory): Promise<T[] | undefined> {
  const found: T[] = []
  let beginning: string | undefined
  for (;;) {
    const page = await ask({ offset: found.length, limit })
    if (page === undefined) return undefined
    const text = JSON.stringify(page)
    if (page.length > 0 && text === beginning) {
      memory.ignored = true
      return page.length === limit ? ask() : found
    }
    beginning ??= text
    found.push(...page)
    if (page.length === 0 || page.length > limit || isEnd(page, limit, memory)) return found
  }
}

function isEnd(page: unknown[], limit: number, memory: PagingMemory): boolean {
  const sure = Math.max(SMALLEST_CUT, memory.longest)
  memory.longest = Math.max(memory.longest, page.length)
  return page.length < limit && (memory.ignored || page.length < sure)
}

function restless(): TwinlogError {
  const message =
    'the list of a schema registry changes faster than it can be read, page by page; try again when it is calmer'
  return new TwinlogError('TWINLOG_SCHEMA_REGISTRY', message, { retriable: true })
}
