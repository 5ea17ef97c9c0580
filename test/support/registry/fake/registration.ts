import { compatibilityFaults } from './compatibility.js'
import { confluentVersion, fillIn, hasDefaults, type RegisterRequest } from './fill-in.js'
import { type Parsed, type ReadContent, readContent, resolvedText } from './formats.js'
import { faults } from './registry-fault.js'
import { orderedMetadata, type RegistrySettings } from './registry-settings.js'
import {
  type RegistryState,
  referencedSubject,
  type StoredConfig,
  type StoredContent,
  type StoredReference,
  type StoredVersion
} from './registry-state.js'
import { contextPrefix, defaultContext, nameOf, parseName } from './subject-names.js'

/** The id alone, or the whole version where the registry changed what was sent. */
export type Registered = { id: number } | Omit<StoredVersion, 'subject' | 'deleted'>

export class Registration {
  readonly #state: RegistryState
  readonly #settings: RegistrySettings
  readonly #parsed = new WeakMap<StoredVersion, Parsed>()

  constructor(state: RegistryState, settings: RegistrySettings) {
    this.#state = state
    this.#settings = settings
  }

  /** What is there already is answered in any mode, before anything is checked. */
  register(subject: string, request: RegisterRequest, normalizeAsked: boolean): Registered {
    const config = this.#settings.configInScope(subject)
    const normalize = normalizeAsked || config.normalize === true
    if (!hasDefaults(config)) {
      const known = this.#replay(subject, request, normalize)
      if (known !== undefined) return known
    }
    this.#checkMode(subject, request)
    return this.#add(subject, request, config, normalize)
  }

  /** The version with this content in the subject; for a name without a context, in any context that has the subject. */
  lookup(
    subject: string,
    request: RegisterRequest,
    o: { normalize: boolean; deleted: boolean }
  ): StoredVersion | undefined {
    const normalize = o.normalize || this.#settings.configInScope(subject).normalize === true
    const found = this.#find(subject, request, { ...o, normalize })
    const name = parseName(subject)
    if (found !== undefined || name.context !== defaultContext) return found
    for (const context of this.#state.contexts.slice(1)) {
      const elsewhere = this.#find(nameOf({ context, subject: name.subject }), request, { ...o, normalize })
      if (elsewhere !== undefined) return elsewhere
    }
    return undefined
  }

  /** Why the content may not follow these versions of the subject, in the registry's words. */
  incompatibilities(
    subject: string,
    request: RegisterRequest,
    versions: StoredVersion[],
    normalizeAsked: boolean
  ): string[] {
    const config = this.#settings.configInScope(subject)
    const read = this.#read(subject, request, normalizeAsked || config.normalize === true)
    if (read === undefined) throw faults.invalidSchema('Empty schema')
    return this.#faults(config, read, versions)
  }

  #replay(subject: string, request: RegisterRequest, normalize: boolean): Registered | undefined {
    const newest = request.version === -1
    const known = this.#find(subject, request, { normalize, deleted: false, newestOnly: newest })
    if (known === undefined) return undefined
    if (request.version === 0 || newest) {
      return request.id < 0 || request.id === known.id ? { id: known.id } : undefined
    }
    if (known.id !== request.id) return undefined
    if (known.version === request.version) return withoutSubject(known)
    // The same content may have been imported under several versions.
    const other = this.#state.get(subject, request.version)
    if (other === undefined || other.deleted || other.id !== known.id || !sameContent(other, known)) return undefined
    return withoutSubject(other)
  }

  #checkMode(subject: string, request: RegisterRequest): void {
    const mode = this.#settings.modeInScope(subject)
    if (this.#settings.isReadOnly(subject)) throw faults.notPermitted(`Subject ${subject} is in read-only mode`)
    if (request.id >= 0 && mode !== 'IMPORT') throw faults.notPermitted(`Subject ${subject} is not in import mode`)
    if (request.id < 0 && mode !== 'READWRITE') {
      throw faults.notPermitted(`Subject ${subject} is not in read-write mode`)
    }
  }

  #add(subject: string, request: RegisterRequest, config: StoredConfig, normalize: boolean): Registered {
    const importing = this.#settings.modeInScope(subject) === 'IMPORT'
    const versions = this.#state.versionsOf(subject)
    const alive = versions.filter(entry => !entry.deleted)
    const next = Math.max(0, ...versions.map(entry => entry.version)) + 1
    const filled = importing ? request : fillIn(request, config, alive.at(-1), next)
    const changed = filled !== request
    const read = this.#read(subject, filled, normalize)
    if (read === undefined) throw faults.invalidSchema('Empty schema')
    let id = filled.id
    const known = this.#state.findContent(subject, read.content)
    if (known !== undefined && (id < 0 || id === known.id)) {
      const version = known.uses.get(subject)
      const entry = version === undefined ? undefined : this.#state.get(subject, version)
      if (filled.version === 0 && entry?.deleted === false) {
        return changed ? { ...read.content, version: entry.version, id: known.id } : { id: known.id }
      }
      id = known.id
    }
    if (filled.version === 0) {
      const same = alive.findLast(entry => (id < 0 || id === entry.id) && this.#means(read, entry))
      if (same !== undefined) {
        return changed ? { ...read.content, version: same.version, id: same.id } : { id: same.id }
      }
    }
    if (!importing) {
      const reasons = this.#faults(config, read, alive)
      if (reasons.length > 0) throw faults.incompatible(subject, reasons)
    }
    const { context } = parseName(subject)
    this.#state.addContext(context)
    const version = filled.version <= 0 ? next : filled.version
    if (version !== next && !importing) throw faults.invalidSchema('Version is not one more than previous version')
    if (id < 0) id = this.#state.nextId(subject)
    else this.#refuseOtherContent(id, contextPrefix(context), read.content)
    for (const entry of versions) {
      // The same content again: its softly deleted version makes way.
      if (entry.deleted && entry.id === id && entry.version < version) this.#state.remove(subject, entry.version)
    }
    this.#state.put({ ...read.content, subject, version, id, deleted: false })
    return changed ? { ...read.content, version, id } : { id }
  }

  #refuseOtherContent(id: number, context: string, content: StoredContent): void {
    const existing = this.#state.versionWithId(id, context)
    if (existing !== undefined && !sameContent(existing, content)) {
      throw faults.notPermitted(`Overwrite new schema with id ${id} is not permitted.`)
    }
  }

  #find(
    subject: string,
    request: RegisterRequest,
    o: { normalize: boolean; deleted: boolean; newestOnly?: boolean }
  ): StoredVersion | undefined {
    const read = this.#read(subject, request, o.normalize)
    if (read === undefined) return undefined
    if (o.newestOnly === true) {
      const newest = this.#state.latest(subject)
      return newest !== undefined && this.#means(read, newest) ? newest : undefined
    }
    const version = this.#state.findContent(subject, read.content)?.uses.get(subject)
    const entry = version === undefined ? undefined : this.#state.get(subject, version)
    if (entry !== undefined && (o.deleted || !entry.deleted)) return entry
    return this.#state.versionsOf(subject).findLast(other => (o.deleted || !other.deleted) && this.#means(read, other))
  }

  #read(subject: string, request: RegisterRequest, normalize: boolean): ReadContent | undefined {
    if (request.schema === undefined || request.schema.trim() === '') return undefined
    const { schemaType, references, metadata, ruleSet } = request
    const validate = this.#settings.modeInScope(subject) !== 'IMPORT'
    return readContent(
      { schemaType, schema: request.schema, references, metadata, ruleSet },
      { ...this.#reading(subject), validate, normalize, version: request.version, id: request.id }
    )
  }

  #reading(subject: string): { subject: string; find: (p: string, r: StoredReference) => StoredVersion | undefined } {
    const find = (parent: string, reference: StoredReference): StoredVersion | undefined => {
      const name = referencedSubject(parent, reference)
      return reference.version === -1 ? this.#state.latest(name) : this.#state.get(name, reference.version)
    }
    return { subject, find }
  }

  #parse(entry: StoredVersion): Parsed {
    let parsed = this.#parsed.get(entry)
    if (parsed === undefined) {
      const reading = { ...this.#reading(entry.subject), validate: false, normalize: false, version: 0, id: -1 }
      parsed = readContent(entry, reading).parsed
      this.#parsed.set(entry, parsed)
    }
    return parsed
  }

  #faults(config: StoredConfig, read: ReadContent, versions: StoredVersion[]): string[] {
    return compatibilityFaults(config, read, versions, entry => this.#parse(entry))
  }

  /** Two more ways to be the same: sent with everything it refers to spelled out, or without the version in its metadata. */
  #means(read: ReadContent, entry: StoredVersion): boolean {
    const own = read.content.metadata?.properties?.[confluentVersion]
    const theirs = entry.metadata?.properties?.[confluentVersion]
    const spelledOut = read.content.references.length === 0 && entry.references.length > 0
    if (!spelledOut) {
      if (own === undefined && theirs === undefined) return false
      if (JSON.stringify(read.content.references) !== JSON.stringify(entry.references)) return false
    }
    if (own !== undefined && theirs === undefined && own !== String(entry.version)) return false
    const ignore = (own === undefined) !== (theirs === undefined)
    if (metadataText(read.content, ignore) !== metadataText(entry, ignore)) return false
    if (JSON.stringify(read.content.ruleSet) !== JSON.stringify(entry.ruleSet)) return false
    return (
      read.content.schemaType === entry.schemaType && resolvedText(read.parsed) === resolvedText(this.#parse(entry))
    )
  }
}

function sameContent(a: StoredContent, b: StoredContent): boolean {
  const text = ({ schemaType, schema, references, metadata, ruleSet }: StoredContent): string =>
    JSON.stringify([schemaType, schema, references, metadata ?? null, ruleSet ?? null])
  return text(a) === text(b)
}

function metadataText(content: StoredContent, withoutVersion: boolean): string {
  const { [confluentVersion]: _version, ...properties } = content.metadata?.properties ?? {}
  if (!withoutVersion) return JSON.stringify(content.metadata ?? null)
  return JSON.stringify(orderedMetadata({ ...content.metadata, properties }))
}

function withoutSubject({ subject: _subject, deleted: _deleted, ...rest }: StoredVersion): Registered {
  return rest
}
