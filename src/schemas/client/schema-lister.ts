import type { CallOptions, SchemaVersion } from '../registry-types.js'
import { type Call, failure, isUnknownPath, unexpected } from './answers.js'
import { listOf, type ToldVersion, textOf, versionOf } from './entities.js'
import { type AskPage, listAll, listRaw, type Page, pagingMemory } from './paging.js'
import { flag, hasPrefix, pageQuery, pathOf } from './paths.js'
import type { RegistryTransport } from './transport.js'

/** Confluent's default and maximum; asked for more, it answers with the default. */
const SCHEMAS_A_PAGE = 1_000

/** Without it, GET /schemas means the default context alone (GET /subjects means all of them). */
const ALL_CONTEXTS = ':*:'

interface Wanted {
  prefix?: string | undefined
  deleted?: boolean | undefined
  signal?: AbortSignal | undefined
}

/** GET /schemas: everything in a registry by few requests, where it can do that. */
export class SchemaLister {
  readonly #transport: RegistryTransport
  readonly #paging = { versions: pagingMemory(), texts: pagingMemory() }
  /** False where `:*:` is a prefix like any other (Apicurio), so that nothing has it. */
  #knowsContexts = true

  constructor(transport: RegistryTransport) {
    this.#transport = transport
  }

  async versions(o: Wanted): Promise<SchemaVersion[] | undefined> {
    const told = await this.#told(o)
    if (o.deleted !== true) return told?.map(version => ({ ...version, deleted: version.deleted ?? false }))
    if (told === undefined || told.every(version => version.deleted !== undefined))
      return told?.map(withDeleted(new Set()))
    // Second, so that what is registered in between is in neither list rather than taken for deleted.
    const alive = await this.#told({ ...o, deleted: false })
    return alive && told.map(withDeleted(new Set(alive.map(keyOf))))
  }

  async texts(o: CallOptions): Promise<string[] | undefined> {
    return this.#everywhere(undefined, prefix => {
      const ask = this.#pages({ prefix, signal: o.signal }, textOf)
      return listRaw(ask, SCHEMAS_A_PAGE, this.#paging.texts)
    })
  }

  async #told(o: Wanted): Promise<ToldVersion[] | undefined> {
    const list = await this.#everywhere(o.prefix, prefix => {
      const ask = this.#pages({ ...o, prefix }, body => versionOf(body))
      return listAll(ask, keyOf, SCHEMAS_A_PAGE, this.#paging.versions)
    })
    return list?.filter(version => hasPrefix(version.subject, o.prefix))
  }

  async #everywhere<T>(
    prefix: string | undefined,
    list: (prefix: string | undefined) => Promise<T[] | undefined>
  ): Promise<T[] | undefined> {
    if (prefix !== undefined || !this.#knowsContexts) return list(prefix)
    const all = await list(ALL_CONTEXTS)
    if (all === undefined || all.length > 0) return all
    const plain = await list(undefined)
    if (plain === undefined || plain.length === 0) return plain
    // The first schema of all may have come in between: asked once more before that is believed of the registry for good.
    const again = await list(ALL_CONTEXTS)
    if (again === undefined || again.length > 0) return again
    this.#knowsContexts = false
    return plain
  }

  /** Pages whose entries all are what they should be; undefined else, and where there is no such list. */
  #pages<T>(o: Wanted, one: (entry: unknown) => T | undefined): AskPage<T> {
    return async (page?: Page) => {
      const query = { subjectPrefix: o.prefix, deleted: flag(o.deleted), ...pageQuery(page) }
      const call: Call = { method: 'GET', path: pathOf(['schemas'], query), signal: o.signal }
      const answer = await this.#transport.send(call)
      if (answer.status === 404 || isUnknownPath(answer)) return undefined
      if (!answer.ok) throw failure(call, answer)
      if (!Array.isArray(answer.body)) throw unexpected(call, answer, 'a list of schemas')
      return listOf(answer.body, one)
    }
  }
}

function withDeleted(alive: ReadonlySet<string>) {
  return (version: ToldVersion): SchemaVersion => ({
    ...version,
    deleted: version.deleted ?? !alive.has(keyOf(version))
  })
}

function keyOf(version: { subject: string; version: number }): string {
  return `${version.version} ${version.subject}`
}
