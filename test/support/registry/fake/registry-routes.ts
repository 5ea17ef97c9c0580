import { Deletion } from './deletion.js'
import { schemaTypes } from './formats.js'
import { Registration } from './registration.js'
import { faults, RegistryFault } from './registry-fault.js'
import { flagOf, numberOf, routePath, versionOf } from './registry-path.js'
import { entityOf, RegistryReads } from './registry-reads.js'
import { RegistrySettings } from './registry-settings.js'
import { RegistryState, type Scope } from './registry-state.js'
import { configRequest, jsonBody, modeRequest, registerRequest } from './request-body.js'
import { isValidName, normalizeName } from './subject-names.js'

/** A text that is sent as it is, not as a JSON string. */
export class PlainText {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** From a method, a path and a body to an answer. No HTTP here. */
export class RegistryRoutes {
  readonly state = new RegistryState()
  readonly #settings = new RegistrySettings(this.state)
  readonly #registration = new Registration(this.state, this.#settings)
  readonly #deletion = new Deletion(this.state, this.#settings)
  readonly #reads = new RegistryReads(this.state)
  readonly #o: { bulk: boolean; ruleSets: boolean }

  constructor(o: { bulk: boolean; ruleSets: boolean }) {
    this.#o = o
  }

  answer(method: string, path: string, query: URLSearchParams, body: string): unknown {
    const routed = routePath(path, query, this.state)
    const [room, ...rest] = routed.segments
    const call = { method, rest, query: routed.query, body }
    switch (room) {
      case undefined:
        return method === 'GET' || method === 'POST' ? {} : unknownMethod()
      case 'subjects':
        return this.#subjects(call)
      case 'schemas':
        return this.#schemas(call)
      case 'config':
        return this.#config(call)
      case 'mode':
        return this.#mode(call)
      case 'compatibility':
        return this.#compatibility(call)
      case 'contexts':
        if (rest.length > 0) throw faults.notFound()
        return method === 'GET' ? this.state.contexts : unknownMethod()
      case 'v1':
        return metadata(rest.join('/'))
      default:
        throw faults.notFound()
    }
  }

  #subjects({ method, rest, query, body }: Call): unknown {
    const [name, what, version, part] = rest
    if (name === undefined) return method === 'GET' ? this.#reads.subjects(query) : unknownMethod()
    const subject = normalizeName(name)
    if (what === undefined) {
      if (method === 'DELETE') return this.#deletion.deleteSubject(subject, { permanent: flagOf(query, 'permanent') })
      return method === 'POST' ? this.#lookup(subject, query, body) : unknownMethod()
    }
    if (what === 'metadata' && version === undefined) return entityOf(this.#reads.withMetadata(subject, query))
    if (what !== 'versions') throw faults.notFound()
    if (version === undefined) {
      if (method === 'GET') return this.#reads.versions(subject, query)
      return method === 'POST' ? this.#register(name, query, body) : unknownMethod()
    }
    const number = versionOf(version)
    if (method === 'DELETE' && part === undefined) {
      return this.#deletion.deleteVersion(subject, number, version, { permanent: flagOf(query, 'permanent') })
    }
    if (method !== 'GET') return unknownMethod()
    if (part === 'referencedby') {
      const found = this.#reads.version(subject, number, { deleted: true })
      return this.state.referrers(found.subject, found.version)
    }
    const found = this.#reads.version(subject, number, { deleted: flagOf(query, 'deleted') })
    if (part === undefined) return entityOf(found)
    if (part === 'schema') return new PlainText(found.schema)
    throw faults.notFound()
  }

  #register(name: string, query: URLSearchParams, body: string): unknown {
    const request = registerRequest(jsonBody(body))
    if (!this.#o.ruleSets) request.ruleSet = undefined
    if (!isValidName(name)) throw faults.invalidSubject(name)
    return entityOf(this.#registration.register(normalizeName(name), request, flagOf(query, 'normalize')))
  }

  #lookup(subject: string, query: URLSearchParams, body: string): unknown {
    const request = registerRequest(jsonBody(body))
    const deleted = flagOf(query, 'deleted')
    const found = this.#registration.lookup(subject, request, { deleted, normalize: flagOf(query, 'normalize') })
    if (found !== undefined) return entityOf(found)
    throw this.state.hasSubject(subject, { deleted }) ? faults.schemaNotFound() : faults.subjectNotFound(subject)
  }

  #schemas({ method, rest, query }: Call): unknown {
    const [what, id, part] = rest
    if (what === undefined && !this.#o.bulk) throw faults.notFound()
    if (method !== 'GET') return unknownMethod()
    if (what === undefined) return this.#reads.schemas(query)
    if (what === 'types' && id === undefined) return schemaTypes
    if (what !== 'ids' || id === undefined) throw faults.notFound()
    const number = numberOf(id, -1)
    if (part === 'versions') return this.#reads.usesOf(number, query)
    if (part === 'subjects') return [...new Set(this.#reads.usesOf(number, query).map(use => use.subject))]
    const entry = this.#reads.byId(number, query)
    if (part === 'schema') {
      if (entry === undefined) throw new RegistryFault(500, 500, 'Internal Server Error')
      return new PlainText(entry.schema)
    }
    if (part !== undefined) throw faults.notFound()
    if (entry === undefined) throw faults.schemaNotFound(number)
    const { schemaType, references, metadata, ruleSet, schema } = entry
    const maxId = flagOf(query, 'fetchMaxId') ? { maxId: this.#reads.lastIdOf(entry) } : {}
    return { ...entityOf({ schemaType, references, metadata, ruleSet, schema }), ...maxId }
  }

  #config({ method, rest, query, body }: Call): unknown {
    const scope = scopeOf(rest)
    switch (method) {
      case 'GET': {
        const config = flagOf(query, 'defaultToGlobal')
          ? this.#settings.configInScope(scope)
          : this.#settings.config(scope)
        if (config === undefined) throw faults.configNotSet(scope ?? '')
        return withoutEmptyText(config)
      }
      case 'PUT': {
        const { update, echo } = configRequest(jsonBody(body), this.#o)
        if (rest[0] !== undefined && !isValidName(rest[0])) throw faults.invalidSubject(rest[0])
        this.#settings.putConfig(scope, update)
        return withoutEmptyText(echo)
      }
      case 'DELETE': {
        const old = this.#settings.config(scope)
        if (old === undefined) throw faults.subjectNotFound(scope ?? '')
        this.#settings.deleteConfig(scope)
        return withoutEmptyText(old)
      }
      default:
        return unknownMethod()
    }
  }

  #mode({ method, rest, query, body }: Call): unknown {
    const scope = scopeOf(rest)
    switch (method) {
      case 'GET': {
        const mode = flagOf(query, 'defaultToGlobal') ? this.#settings.modeInScope(scope) : this.#settings.mode(scope)
        if (mode === undefined) throw faults.modeNotSet(scope ?? '')
        return { mode }
      }
      case 'PUT': {
        const mode = modeRequest(jsonBody(body))
        if (rest[0] !== undefined && !isValidName(rest[0])) throw faults.invalidSubject(rest[0])
        this.#settings.putMode(scope, mode, { force: flagOf(query, 'force') })
        return { mode }
      }
      case 'DELETE': {
        if (scope === undefined) return unknownMethod()
        const old = this.#settings.mode(scope)
        if (old === undefined) throw faults.subjectNotFound(scope)
        this.#settings.deleteMode(scope)
        return { mode: old }
      }
      default:
        return unknownMethod()
    }
  }

  #compatibility({ method, rest, query, body }: Call): unknown {
    const [subjects, name, versions, version] = rest
    if (subjects !== 'subjects' || name === undefined || versions !== 'versions') throw faults.notFound()
    if (method !== 'POST') return unknownMethod()
    const subject = normalizeName(name)
    const request = registerRequest(jsonBody(body))
    const alive = this.state.versionsOf(subject).filter(entry => !entry.deleted)
    const number = version === undefined ? undefined : versionOf(version)
    const against = number === undefined ? alive : alive.filter(entry => entry.version === number)
    if (number === -1) against.push(...alive.slice(-1))
    else if (number !== undefined && against.length === 0) throw faults.versionNotFound(number)
    const verbose = flagOf(query, 'verbose')
    let messages: string[]
    try {
      messages = this.#registration.incompatibilities(subject, request, against, flagOf(query, 'normalize'))
    } catch (error) {
      if (!verbose || !(error instanceof RegistryFault) || error.errorCode !== 42201) throw error
      messages = [error.message]
    }
    return { is_compatible: messages.length === 0, ...(verbose ? { messages } : {}) }
  }
}

interface Call {
  method: string
  rest: string[]
  query: URLSearchParams
  body: string
}

function scopeOf(rest: string[]): Scope {
  if (rest.length > 1) throw faults.notFound()
  return rest[0] === undefined ? undefined : normalizeName(rest[0])
}

function metadata(path: string): unknown {
  if (path === 'metadata/id') {
    return { scope: { path: [], clusters: { 'kafka-cluster': 'fake', 'schema-registry-cluster': 'schema-registry' } } }
  }
  if (path === 'metadata/version') return { version: '7.9.0', commitId: 'fake' }
  throw faults.notFound()
}

function withoutEmptyText(entries: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(entries).filter(([, value]) => value !== ''))
}

function unknownMethod(): never {
  throw faults.methodNotAllowed()
}
