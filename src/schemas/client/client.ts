import type { Logger } from '../../logger.js'
import type { RegistryConfig } from '../../util/registry-config.js'
import type {
  CallOptions,
  RegistryClient,
  RegistryLevelConfig,
  RegistryMode,
  SchemaContent,
  SchemaVersion
} from '../registry-types.js'
import { type Call, failure, hasCode, isUnknownPath, unexpected, unsupported } from './answers.js'
import { assertRegistryConfig, resolveRegistry } from './config.js'
import {
  contentBody,
  contentOf,
  contextIdsIn,
  levelConfigBody,
  levelConfigOf,
  lookedUpOf,
  modeOf,
  numbersOf,
  registeredOf,
  stringsOf,
  type ToldVersion,
  usesIn,
  versionOf
} from './entities.js'
import { listAll, type Page, type PagingMemory, pagingMemory } from './paging.js'
import { flag, hasPrefix, pageQuery, pathOf, plainName, scopePath } from './paths.js'
import { SchemaLister } from './schema-lister.js'
import { RegistryTransport } from './transport.js'

/** Subject, version or schema is not there. */
const ABSENT = [40401, 40402, 40403]
/** The same, or deleted softly before. */
const GONE = [...ABSENT, 40404, 40406]
/** Nothing is set on the scope. */
const UNSET = [40401, 40408, 40409]

/** Entries of a page; lists of subjects, versions and uses are not cut below that by Confluent's defaults. */
const NAMES_A_PAGE = 10_000

export interface RegistryClientOptions {
  logger: Logger
  /** Longest body of an answer. @defaultValue 64 MiB */
  maxResponseBytes?: number | undefined
}

/**
 * A client for registries of Confluent's API (Confluent, Apicurio's ccompat, Karapace and their like) over the platform's fetch. It speaks
 * of subjects as the root of the registry names them; `context` of the config is for whoever maps names.
 *
 * Each request is tried at one address after the other, then again after a pause, on network errors, 429 and 5xx (but 501); nothing else is
 * retried. All writes stand that: a deletion that finds nothing left to delete is done.
 */
export function createRegistryClient(config: RegistryConfig, o: RegistryClientOptions): RegistryClient {
  assertRegistryConfig('registry', config)
  return new HttpRegistryClient(new RegistryTransport(resolveRegistry(config), o))
}

class HttpRegistryClient implements RegistryClient {
  readonly #transport: RegistryTransport
  readonly #lister: SchemaLister
  readonly #paging = { subjects: pagingMemory(), versions: pagingMemory(), uses: pagingMemory() }
  /** The server says of each version whether it is deleted, as Confluent's does from 8.0. */
  #tellsDeleted = false

  constructor(transport: RegistryTransport) {
    this.#transport = transport
    this.#lister = new SchemaLister(transport)
  }

  get name(): string {
    return this.#transport.name
  }

  get requests(): number {
    return this.#transport.requests
  }

  async subjects(o: CallOptions & { prefix?: string | undefined; deleted?: boolean | undefined } = {}) {
    const query = { subjectPrefix: o.prefix, deleted: flag(o.deleted) }
    const list = await this.#list(
      page => ({ method: 'GET', path: pathOf(['subjects'], { ...query, ...pageQuery(page) }), signal: o.signal }),
      { parse: stringsOf, key: String, memory: this.#paging.subjects, wanted: 'a list of subjects', absent: [] }
    )
    return (list ?? []).filter(subject => hasPrefix(subject, o.prefix))
  }

  async versions(subject: string, o: CallOptions & { deleted?: boolean | undefined } = {}) {
    const query = { deleted: flag(o.deleted) }
    return this.#list(
      page => ({
        method: 'GET',
        path: pathOf(['subjects', subject, 'versions'], { ...query, ...pageQuery(page) }),
        signal: o.signal,
        subject
      }),
      { parse: numbersOf, key: String, memory: this.#paging.versions, wanted: 'a list of versions', absent: ABSENT }
    )
  }

  async version(subject: string, version: number, o: CallOptions & { deleted?: boolean | undefined } = {}) {
    const ask = (deleted: boolean) => this.#version(subject, version, deleted, o.signal)
    if (o.deleted !== true) return living(await ask(false))
    if (this.#tellsDeleted) {
      const found = await ask(true)
      if (found === undefined || found.deleted !== undefined) return living(found)
    }
    // Most versions are alive: those cost one request.
    const alive = await ask(false)
    if (alive !== undefined) return living(alive)
    const found = await ask(true)
    return found && { ...found, deleted: found.deleted ?? true }
  }

  allVersions(o: CallOptions & { prefix?: string | undefined; deleted?: boolean | undefined } = {}) {
    return this.#lister.versions(o)
  }

  allTexts(o: CallOptions = {}) {
    return this.#lister.texts(o)
  }

  async schemaById(id: number, o: CallOptions & { scope?: string | undefined } = {}) {
    const path = pathOf(['schemas', 'ids', id], { subject: o.scope })
    const call: Call = { method: 'GET', path, signal: o.signal, schemaId: id, subject: o.scope }
    return this.#read(call, ABSENT, contentOf, 'a schema')
  }

  async usesOf(id: number, o: CallOptions & { scope?: string | undefined } = {}) {
    const query = { subject: o.scope, deleted: true }
    const list = await this.#list(
      page => ({
        method: 'GET',
        path: pathOf(['schemas', 'ids', id, 'versions'], { ...query, ...pageQuery(page) }),
        signal: o.signal,
        schemaId: id,
        subject: o.scope
      }),
      {
        parse: usesIn,
        key: use => `${use.version} ${use.subject}`,
        memory: this.#paging.uses,
        wanted: 'a list of subjects and versions',
        absent: ABSENT
      }
    )
    return list ?? []
  }

  async idsOfGuid(guid: string, o: CallOptions = {}) {
    const call: Call = { method: 'GET', path: pathOf(['schemas', 'guids', guid, 'ids']), signal: o.signal }
    const answer = await this.#transport.send(call)
    if (isUnknownPath(answer)) return undefined
    if (hasCode(answer, ABSENT)) return []
    if (!answer.ok) throw failure(call, answer)
    const ids = contextIdsIn(answer.body)
    if (ids === undefined) throw unexpected(call, answer, 'a list of contexts and ids')
    return ids
  }

  async register(
    subject: string,
    content: SchemaContent,
    o: CallOptions & { id?: number | undefined; version?: number | undefined } = {}
  ) {
    const { id, version, signal } = o
    const body = {
      ...contentBody(content),
      ...(id === undefined ? {} : { id }),
      ...(version === undefined ? {} : { version })
    }
    const path = pathOf(['subjects', subject, 'versions'])
    const call: Call = { method: 'POST', path, body, signal, subject, schemaId: id }
    const answer = await this.#transport.send(call)
    if (!answer.ok) throw failure(call, answer)
    const registered = registeredOf(answer.body)
    if (registered === undefined) throw unexpected(call, answer, 'an id')
    return registered
  }

  async lookup(subject: string, content: SchemaContent, o: CallOptions & { deleted?: boolean | undefined } = {}) {
    const path = pathOf(['subjects', subject], { deleted: flag(o.deleted) })
    const call: Call = { method: 'POST', path, body: contentBody(content), signal: o.signal, subject }
    const found = await this.#read(call, ABSENT, answer => lookedUpOf(answer, subject), 'a version')
    if (found === undefined || !isAbout(found, subject)) return undefined
    return { id: found.id, version: found.version }
  }

  async deleteVersion(subject: string, version: number, o: CallOptions & { permanent?: boolean | undefined } = {}) {
    const path = pathOf(['subjects', subject, 'versions', version], { permanent: flag(o.permanent) })
    await this.#delete({ method: 'DELETE', path, signal: o.signal, subject }, o.permanent)
  }

  async deleteSubject(subject: string, o: CallOptions & { permanent?: boolean | undefined } = {}) {
    const path = pathOf(['subjects', subject], { permanent: flag(o.permanent) })
    await this.#delete({ method: 'DELETE', path, signal: o.signal, subject }, o.permanent)
  }

  async config(scope: string | undefined, o: CallOptions & { resolved?: boolean | undefined } = {}) {
    const path = scopePath('config', scope, { defaultToGlobal: flag(o.resolved) })
    const call: Call = { method: 'GET', path, signal: o.signal, subject: scope }
    const answer = await this.#transport.send(call)
    if (hasCode(answer, UNSET)) return undefined
    if (!answer.ok) throw failure(call, answer)
    if (typeof answer.body !== 'object' || answer.body === null) throw unexpected(call, answer, 'a config')
    return levelConfigOf(answer.body)
  }

  /** Merged by the registry with what is set: to take a field away, delete the config first. */
  async putConfig(scope: string | undefined, config: RegistryLevelConfig, o: CallOptions = {}) {
    const path = scopePath('config', scope)
    const call: Call = { method: 'PUT', path, body: levelConfigBody(config), signal: o.signal, subject: scope }
    await this.#write(call, 'change the config')
  }

  async deleteConfig(scope: string | undefined, o: CallOptions = {}) {
    const call: Call = { method: 'DELETE', path: scopePath('config', scope), signal: o.signal, subject: scope }
    await this.#write(call, 'remove the config, only change it', UNSET)
  }

  async mode(scope: string | undefined, o: CallOptions & { resolved?: boolean | undefined } = {}) {
    const path = scopePath('mode', scope, { defaultToGlobal: flag(o.resolved) })
    const call: Call = { method: 'GET', path, signal: o.signal, subject: scope }
    const answer = await this.#transport.send(call)
    if (hasCode(answer, UNSET)) return undefined
    if (isUnknownPath(answer)) throw unsupported(call, answer, 'tell a mode')
    if (!answer.ok) throw failure(call, answer)
    const mode = modeOf(answer.body)
    if (mode === undefined) throw unexpected(call, answer, 'a mode that this version of twinlog knows')
    return mode
  }

  async putMode(scope: string | undefined, mode: RegistryMode, o: CallOptions & { force?: boolean | undefined } = {}) {
    const path = scopePath('mode', scope, { force: flag(o.force) })
    await this.#write({ method: 'PUT', path, body: { mode }, signal: o.signal, subject: scope }, 'change modes')
  }

  /**
   * Before 8.2 Confluent cannot remove the mode of the registry itself. There it is set to READWRITE: GET /mode answers the same for both.
   */
  async deleteMode(scope: string | undefined, o: CallOptions = {}) {
    const call: Call = { method: 'DELETE', path: scopePath('mode', scope), signal: o.signal, subject: scope }
    const answer = await this.#transport.send(call)
    if (answer.ok || hasCode(answer, UNSET)) return
    if (!isUnknownPath(answer)) throw failure(call, answer)
    if (scope !== undefined) throw unsupported(call, answer, 'remove the mode of a subject, only change it')
    await this.putMode(undefined, 'READWRITE', o)
  }

  async contexts(o: CallOptions = {}) {
    const call: Call = { method: 'GET', path: pathOf(['contexts']), signal: o.signal }
    const answer = await this.#transport.send(call)
    if (isUnknownPath(answer)) return undefined
    if (!answer.ok) throw failure(call, answer)
    const contexts = stringsOf(answer.body)
    if (contexts === undefined) throw unexpected(call, answer, 'a list of contexts')
    return contexts
  }

  async #version(subject: string, version: number, deleted: boolean, signal: AbortSignal | undefined) {
    const path = pathOf(['subjects', subject, 'versions', version], { deleted: flag(deleted) })
    const parse = (body: unknown) => versionOf(body, { subject, version })
    const found = await this.#read({ method: 'GET', path, signal, subject }, ABSENT, parse, 'a version')
    if (found?.deleted !== undefined) this.#tellsDeleted = true
    return found !== undefined && isAbout(found, subject) ? { ...found, subject } : undefined
  }

  async #list<T>(
    call: (page: Page | undefined) => Call,
    o: {
      parse: (body: unknown) => T[] | undefined
      key: (entry: T) => string
      memory: PagingMemory
      wanted: string
      absent: readonly number[]
    }
  ): Promise<T[] | undefined> {
    return listAll(page => this.#read(call(page), o.absent, o.parse, o.wanted), o.key, NAMES_A_PAGE, o.memory)
  }

  /** Undefined for the codes that say so. */
  async #read<T>(
    call: Call,
    absent: readonly number[],
    parse: (body: unknown) => T | undefined,
    wanted: string
  ): Promise<T | undefined> {
    const answer = await this.#transport.send(call)
    if (hasCode(answer, absent)) return undefined
    if (!answer.ok) throw failure(call, answer)
    const parsed = parse(answer.body)
    if (parsed === undefined) throw unexpected(call, answer, wanted)
    return parsed
  }

  async #delete(call: Call, permanent: boolean | undefined): Promise<void> {
    const answer = await this.#transport.send(call)
    if (answer.ok || hasCode(answer, permanent === true ? ABSENT : GONE)) return
    throw failure(call, answer)
  }

  async #write(call: Call, what: string, done: readonly number[] = []): Promise<void> {
    const answer = await this.#transport.send(call)
    if (answer.ok || hasCode(answer, done)) return
    throw isUnknownPath(answer) ? unsupported(call, answer, what) : failure(call, answer)
  }
}

/** Confluent looks for an unqualified subject in other contexts where the default one has none, and follows aliases. */
function isAbout(found: { subject: string }, subject: string): boolean {
  return plainName(found.subject) === plainName(subject)
}

function living(found: ToldVersion | undefined): SchemaVersion | undefined {
  return found && { ...found, deleted: found.deleted ?? false }
}
