import { TwinlogError } from '../../../src/errors.js'
import type {
  RegistryClient,
  RegistryLevelConfig,
  RegistryMode,
  SchemaContent,
  SchemaVersion
} from '../../../src/schemas/registry-types.js'

export interface MemoryRegistryOptions {
  /** False: as Apicurio, which has no contexts, stores modes without obeying them, and ignores id and version. @defaultValue true */
  confluent?: boolean
  /** Whether GET /schemas tells subject, version and id. @defaultValue as `confluent` */
  listsAll?: boolean
  /** Newer servers know schemas by a hash of their content. */
  guids?: boolean
  /** Ordinary registrations that are to be refused as incompatible. */
  incompatible?: (subject: string, content: SchemaContent) => boolean
}

export interface Request {
  index: number
  method: string
  subject: string | undefined
  detail: unknown
}

/** A registry in memory, by the rules of Confluent 7.9 that matter to whoever writes: modes, IMPORT, contexts, deletes, references. */
export class MemoryRegistry {
  readonly versions = new Map<string, Map<number, SchemaVersion>>()
  readonly modes = new Map<string, RegistryMode>()
  readonly configs = new Map<string, RegistryLevelConfig>()
  readonly contexts = new Set<string>(['.'])
  readonly lastIds = new Map<string, number>()
  readonly options: MemoryRegistryOptions

  constructor(options: MemoryRegistryOptions = {}) {
    this.options = options
  }

  get confluent(): boolean {
    return this.options.confluent ?? true
  }

  client(hooks: MemoryClientHooks = {}): MemoryClient {
    return new MemoryClient(this, hooks)
  }

  all(): SchemaVersion[] {
    return [...this.versions.values()].flatMap(versions => [...versions.values()].sort((a, b) => a.version - b.version))
  }

  live(subject: string): SchemaVersion[] {
    return this.of(subject).filter(version => !version.deleted)
  }

  of(subject: string): SchemaVersion[] {
    return [...(this.versions.get(subject)?.values() ?? [])].sort((a, b) => a.version - b.version)
  }

  put(version: SchemaVersion): void {
    const scope = contextOf(version.subject)
    if (scope !== '') this.contexts.add(scope.slice(1, -1))
    const versions = this.versions.get(version.subject) ?? new Map<number, SchemaVersion>()
    this.versions.set(version.subject, versions.set(version.version, version))
    this.lastIds.set(scope, Math.max(this.lastIds.get(scope) ?? 0, version.id))
  }

  remove(subject: string, version: number): void {
    const versions = this.versions.get(subject)
    versions?.delete(version)
    if (versions?.size === 0) this.versions.delete(subject)
  }

  effectiveMode(subject: string): RegistryMode {
    if (!this.confluent) return this.modes.get(subject) ?? this.modes.get('') ?? 'READWRITE'
    if (this.modes.get('') === 'READONLY_OVERRIDE') return 'READONLY_OVERRIDE'
    return this.modes.get(subject) ?? this.modes.get(contextOf(subject)) ?? 'READWRITE'
  }

  /** Everything but our own context, for comparison. */
  snapshot(): unknown {
    const own = (name: string) => !name.startsWith(':.twinlog:')
    const sorted = <T>(map: Map<string, T>) =>
      [...map].filter(([name]) => own(name)).sort(([a], [b]) => (a < b ? -1 : 1))
    return {
      versions: sorted(this.versions).map(([subject]) => this.of(subject)),
      modes: sorted(this.modes),
      configs: sorted(this.configs)
    }
  }

  get notes(): string[] {
    return [...this.versions.keys()].filter(subject => subject.startsWith(':.twinlog:'))
  }
}

export interface MemoryClientHooks {
  /** Before the request has any effect. */
  before?: (request: Request) => void | Promise<void>
  /** After its effect, before its answer. */
  after?: (request: Request) => void | Promise<void>
}

export class MemoryClient implements RegistryClient {
  readonly name = 'http://memory:8081'
  readonly log: Request[] = []
  readonly #registry: MemoryRegistry
  readonly #hooks: MemoryClientHooks

  constructor(registry: MemoryRegistry, hooks: MemoryClientHooks) {
    this.#registry = registry
    this.#hooks = hooks
  }

  get requests(): number {
    return this.log.length
  }

  async subjects(o: { prefix?: string | undefined; deleted?: boolean | undefined } = {}): Promise<string[]> {
    return this.#call('subjects', o.prefix, o, () =>
      [...this.#registry.versions.keys()]
        .filter(subject => this.#registry.confluent === false || hasPrefix(subject, o.prefix))
        .filter(subject => o.deleted === true || this.#registry.live(subject).length > 0)
        .sort()
    )
  }

  async versions(subject: string, o: { deleted?: boolean | undefined } = {}): Promise<number[] | undefined> {
    return this.#call('versions', subject, o, () => {
      const versions = o.deleted === true ? this.#registry.of(subject) : this.#registry.live(subject)
      return versions.length === 0 ? undefined : versions.map(({ version }) => version)
    })
  }

  async version(subject: string, version: number, o: { deleted?: boolean | undefined } = {}) {
    return this.#call('version', subject, { version, ...o }, () => {
      const found = this.#registry.versions.get(subject)?.get(version)
      return found === undefined || (found.deleted && o.deleted !== true) ? undefined : copy(found)
    })
  }

  async allVersions(o: { prefix?: string | undefined; deleted?: boolean | undefined } = {}) {
    return this.#call('allVersions', o.prefix, o, () => {
      if (!(this.#registry.options.listsAll ?? this.#registry.confluent)) return undefined
      return this.#registry
        .all()
        .filter(({ subject }) => hasPrefix(subject, o.prefix))
        .filter(({ deleted }) => o.deleted === true || !deleted)
        .map(copy)
    })
  }

  async allTexts(): Promise<string[] | undefined> {
    return this.#call('allTexts', undefined, {}, () => this.#registry.all().map(({ schema }) => schema))
  }

  async schemaById(id: number, o: { scope?: string | undefined } = {}): Promise<SchemaContent | undefined> {
    return this.#call('schemaById', o.scope, { id }, () => {
      const found = this.#inContext(o.scope ?? '').find(version => version.id === id)
      return found === undefined ? undefined : contentOf(found)
    })
  }

  async usesOf(id: number, o: { scope?: string | undefined } = {}): Promise<{ subject: string; version: number }[]> {
    return this.#call('usesOf', o.scope, { id }, () =>
      this.#inContext(o.scope ?? '')
        .filter(version => version.id === id)
        .map(({ subject, version }) => ({ subject, version }))
    )
  }

  async idsOfGuid(guid: string): Promise<{ context: string; id: number }[] | undefined> {
    return this.#call('idsOfGuid', undefined, { guid }, () => {
      if (this.#registry.options.guids !== true) return undefined
      const found = this.#registry.all().filter(version => guidOf(version) === guid)
      const contextName = (subject: string) => contextOf(subject).slice(1, -1) || '.'
      const ids = new Map(
        found.map(({ subject, id }) => [`${contextOf(subject)} ${id}`, { context: contextName(subject), id }])
      )
      return [...ids.values()]
    })
  }

  async register(
    subject: string,
    content: SchemaContent,
    o: { id?: number | undefined; version?: number | undefined } = {}
  ): Promise<{ id: number; version?: number | undefined }> {
    return this.#call('register', subject, { ...o, schema: content.schema }, () => {
      if (!this.#registry.confluent) return this.#ordinary(subject, content)
      const same = this.#registry.live(subject).filter(version => sameContent(version, content))
      const { id, version } = o
      if (version === undefined) {
        const found = same.at(-1)
        if (found !== undefined && (id === undefined || id === found.id)) return { id: found.id }
      } else if (same.some(found => found.id === id && found.version === version)) {
        return { id: id!, version }
      }
      const mode = this.#registry.effectiveMode(subject)
      if (mode.startsWith('READONLY')) throw refusal(422, 42205, `Subject ${subject} is in read-only mode`, subject)
      if (id !== undefined && mode !== 'IMPORT')
        throw refusal(422, 42205, `Subject ${subject} is not in import mode`, subject)
      if (id === undefined && mode !== 'READWRITE')
        throw refusal(422, 42205, `Subject ${subject} is not in read-write mode`, subject)
      return id === undefined ? this.#ordinary(subject, content) : this.#import(subject, content, id, version)
    })
  }

  async lookup(subject: string, content: SchemaContent, o: { deleted?: boolean | undefined } = {}) {
    return this.#call('lookup', subject, o, () => {
      const found = this.#registry
        .of(subject)
        .filter(version => (o.deleted === true || !version.deleted) && sameContent(version, content))
        .at(-1)
      return found === undefined ? undefined : { id: found.id, version: found.version }
    })
  }

  async deleteVersion(subject: string, version: number, o: { permanent?: boolean | undefined } = {}): Promise<void> {
    return this.#call('deleteVersion', subject, { version, ...o }, () => {
      const found = this.#registry.versions.get(subject)?.get(version)
      if (found === undefined) throw refusal(404, 40402, `Version ${version} not found.`, subject)
      this.#writable(subject)
      this.#unreferenced(found)
      if (o.permanent === true) {
        if (!found.deleted)
          throw refusal(404, 40407, `Subject '${subject}' Version ${version} was not deleted first`, subject)
        this.#registry.remove(subject, version)
      } else {
        if (found.deleted)
          throw refusal(404, 40406, `Subject '${subject}' Version ${version} was soft deleted.`, subject)
        this.#registry.put({ ...found, deleted: true })
        if (this.#registry.live(subject).length === 0) this.#clear(subject)
      }
    })
  }

  async deleteSubject(subject: string, o: { permanent?: boolean | undefined } = {}): Promise<void> {
    return this.#call('deleteSubject', subject, o, () => {
      const versions = this.#registry.of(subject)
      if (versions.length === 0) throw refusal(404, 40401, `Subject '${subject}' not found.`, subject)
      this.#writable(subject)
      const live = versions.filter(version => !version.deleted)
      for (const version of o.permanent === true ? versions : live) this.#unreferenced(version)
      if (o.permanent === true) {
        if (live.length > 0) throw refusal(404, 40405, `Subject '${subject}' was not deleted first`, subject)
        for (const { version } of versions) this.#registry.remove(subject, version)
      } else {
        if (live.length === 0) throw refusal(404, 40404, `Subject '${subject}' was soft deleted.`, subject)
        for (const version of live) this.#registry.put({ ...version, deleted: true })
        this.#clear(subject)
      }
    })
  }

  async config(scope: string | undefined): Promise<RegistryLevelConfig | undefined> {
    return this.#call('config', scope, {}, () => copy(this.#registry.configs.get(scope ?? '')))
  }

  async putConfig(scope: string | undefined, config: RegistryLevelConfig): Promise<void> {
    return this.#call('putConfig', scope, { config }, () => {
      this.#writable(scope ?? '')
      this.#registry.configs.set(scope ?? '', { ...this.#registry.configs.get(scope ?? ''), ...config })
    })
  }

  async deleteConfig(scope: string | undefined): Promise<void> {
    return this.#call('deleteConfig', scope, {}, () => {
      this.#writable(scope ?? '')
      this.#registry.configs.delete(scope ?? '')
    })
  }

  async mode(scope: string | undefined, o: { resolved?: boolean | undefined } = {}): Promise<RegistryMode | undefined> {
    return this.#call('mode', scope, o, () => {
      if (o.resolved === true || scope === undefined || !this.#registry.confluent)
        return this.#registry.effectiveMode(scope ?? '')
      if (this.#registry.modes.get('') === 'READONLY_OVERRIDE') return 'READONLY_OVERRIDE'
      return this.#registry.modes.get(scope)
    })
  }

  async putMode(scope: string | undefined, mode: RegistryMode, o: { force?: boolean | undefined } = {}): Promise<void> {
    return this.#call('putMode', scope, { mode, ...o }, () => {
      if (
        this.#registry.confluent &&
        mode === 'IMPORT' &&
        this.#registry.effectiveMode(scope ?? '') !== 'IMPORT' &&
        o.force !== true
      )
        this.#clearForImport(scope)
      this.#registry.modes.set(scope ?? '', mode)
    })
  }

  async deleteMode(scope: string | undefined): Promise<void> {
    return this.#call('deleteMode', scope, {}, () => {
      if (scope === undefined) throw refusal(405, 405, 'HTTP 405 Method Not Allowed')
      if (!this.#registry.modes.delete(scope)) throw refusal(404, 40401, `Subject '${scope}' not found.`, scope)
    })
  }

  async contexts(): Promise<string[] | undefined> {
    return this.#call('contexts', undefined, {}, () =>
      this.#registry.confluent ? [...this.#registry.contexts].sort() : undefined
    )
  }

  #inContext(scope: string): SchemaVersion[] {
    return this.#registry
      .all()
      .filter(({ subject }) => !this.#registry.confluent || contextOf(subject) === contextOf(scope))
  }

  #ordinary(subject: string, content: SchemaContent): { id: number } {
    const registry = this.#registry
    const inSubject = registry.live(subject).find(version => sameContent(version, content))
    if (inSubject !== undefined) return { id: inSubject.id }
    this.#resolve(subject, content)
    if (registry.options.incompatible?.(subject, content) === true)
      throw refusal(409, 409, 'Schema being registered is incompatible with an earlier schema', subject)
    const context = registry.confluent ? contextOf(subject) : ''
    const same = this.#inContext(context).find(version => sameContent(version, content))
    const id = same?.id ?? (registry.lastIds.get(context) ?? 0) + 1
    registry.lastIds.set(context, Math.max(registry.lastIds.get(context) ?? 0, id))
    this.#add(subject, content, id, (registry.of(subject).at(-1)?.version ?? 0) + 1)
    return { id }
  }

  #import(subject: string, content: SchemaContent, id: number, version: number | undefined): { id: number } {
    this.#resolve(subject, content)
    const holder = this.#inContext(subject).find(found => found.id === id)
    if (holder !== undefined && !sameContent(holder, content))
      throw refusal(422, 42205, `Overwrite new schema with id ${id} is not permitted.`, subject)
    this.#add(subject, content, id, version ?? (this.#registry.of(subject).at(-1)?.version ?? 0) + 1)
    return { id }
  }

  #add(subject: string, content: SchemaContent, id: number, version: number): void {
    for (const old of this.#registry.of(subject))
      if (old.deleted && old.id === id && old.version < version) this.#registry.remove(subject, old.version)
    this.#registry.put({ ...contentOf(content), subject, version, id, deleted: false })
  }

  #resolve(subject: string, content: SchemaContent): void {
    for (const reference of content.references) {
      const name = reference.subject.startsWith(':.') ? reference.subject : contextOf(subject) + reference.subject
      if (this.#registry.versions.get(name)?.has(reference.version) !== true)
        throw refusal(
          422,
          42201,
          `No schema reference found for subject "${name}" and version ${reference.version}`,
          subject
        )
    }
  }

  #unreferenced(version: SchemaVersion): void {
    const referred = this.#registry
      .all()
      .some(
        other =>
          !other.deleted &&
          other.references.some(
            reference =>
              reference.version === version.version &&
              [reference.subject, contextOf(other.subject) + reference.subject].includes(version.subject)
          )
      )
    if (referred) throw refusal(422, 42206, 'One or more references exist to the schema', version.subject)
  }

  #writable(subject: string): void {
    if (this.#registry.confluent && this.#registry.effectiveMode(subject).startsWith('READONLY'))
      throw refusal(422, 42205, `Subject ${subject} is in read-only mode`, subject)
  }

  #clear(subject: string): void {
    this.#registry.modes.delete(subject)
    this.#registry.configs.delete(subject)
  }

  #clearForImport(scope: string | undefined): void {
    const inScope = (subject: string) =>
      scope === undefined || subject === scope || (isContext(scope) && contextOf(subject) === scope)
    const subjects = [...this.#registry.versions.keys()].filter(inScope)
    if (subjects.some(subject => this.#registry.live(subject).length > 0))
      throw refusal(422, 42205, 'Cannot import since found existing subjects', scope)
    for (const subject of subjects) this.#registry.versions.delete(subject)
  }

  async #call<T>(method: string, subject: string | undefined, detail: unknown, effect: () => T): Promise<T> {
    const request: Request = { index: this.log.length, method, subject, detail }
    this.log.push(request)
    await Promise.resolve()
    await this.#hooks.before?.(request)
    const answer = effect()
    await this.#hooks.after?.(request)
    return answer
  }
}

export function refusal(httpStatus: number, registryCode: number, message: string, subject?: string): TwinlogError {
  return new TwinlogError('TWINLOG_SCHEMA_REGISTRY', `registry http://memory:8081 answered ${httpStatus}: ${message}`, {
    httpStatus,
    registryCode,
    subject,
    retriable: httpStatus === 429 || httpStatus >= 500
  })
}

export function unreachable(): TwinlogError {
  return new TwinlogError('TWINLOG_UNREACHABLE', 'registry http://memory:8081 cannot be reached', { retriable: true })
}

export function guidOf(content: SchemaContent): string {
  const text = JSON.stringify([content.schema, content.references])
  let hash = 7
  for (const char of text) hash = (hash * 31 + char.charCodeAt(0)) >>> 0
  return `00000000-0000-0000-0000-${hash.toString(16).padStart(12, '0')}`
}

function sameContent(a: SchemaContent, b: SchemaContent): boolean {
  return JSON.stringify(contentOf(a)) === JSON.stringify(contentOf(b))
}

function contentOf(content: SchemaContent): SchemaContent {
  const { schemaType, schema, references, metadata, ruleSet } = content
  return {
    schemaType,
    schema,
    references: references.map(({ name, subject, version }) => ({ name, subject, version })),
    ...(metadata === undefined ? {} : { metadata }),
    ...(ruleSet === undefined ? {} : { ruleSet })
  }
}

function copy<T>(value: T): T {
  return value === undefined ? value : (JSON.parse(JSON.stringify(value)) as T)
}

/** `:.ctx:`, or '' for the default context. */
function contextOf(subject: string): string {
  if (!subject.startsWith(':.')) return ''
  const context = subject.slice(0, subject.indexOf(':', 1) + 1)
  return context === ':.:' ? '' : context
}

function isContext(scope: string): boolean {
  return scope !== '' && contextOf(scope) === scope
}

function hasPrefix(subject: string, prefix: string | undefined): boolean {
  if (prefix === undefined || prefix === ':*:') return true
  return contextOf(subject) === contextOf(prefix) && subject.startsWith(prefix)
}
