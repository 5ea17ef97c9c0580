/** What a schema registry of Confluent's API holds. Subjects are qualified (`:.ctx:orders-value`) outside the default context. */

export interface SchemaReference {
  /** By which the referring schema calls it: a full name, a file, a URL. */
  name: string
  subject: string
  version: number
}

/** What is registered: the parts that decide whether two versions are the same. */
export interface SchemaContent {
  /** The registry leaves it out for Avro. */
  schemaType: string
  schema: string
  /** In the registry's order. */
  references: SchemaReference[]
  metadata?: unknown
  ruleSet?: unknown
}

/** One version of a subject. */
export interface SchemaVersion extends SchemaContent {
  subject: string
  version: number
  id: number
  /** Softly: it is no longer listed, but its id still resolves. */
  deleted: boolean
}

/** Config of a subject, a context or the whole registry, by the names of GET (`compatibilityLevel`). Only what is set. */
export interface RegistryLevelConfig {
  compatibilityLevel?: string
  normalize?: boolean
  alias?: string
  compatibilityGroup?: string
  validateFields?: boolean
  validateRules?: boolean
  defaultMetadata?: unknown
  overrideMetadata?: unknown
  defaultRuleSet?: unknown
  overrideRuleSet?: unknown
}

export type RegistryMode = 'READWRITE' | 'READONLY' | 'READONLY_OVERRIDE' | 'IMPORT' | 'FORWARD'

export interface CallOptions {
  signal?: AbortSignal | undefined
}

/**
 * A registry, one method a request. Every error is a TwinlogError with `httpStatus`, `registryCode` and `subject` where they are known:
 * `TWINLOG_UNREACHABLE` (retriable) when no address answers, `TWINLOG_UNAUTHORIZED` for 401 and 403, `TWINLOG_SCHEMA_REGISTRY` for all else.
 * What "is not there" is `undefined`, never an error. A scope is a subject, a context (`:.ctx:`), or undefined for the registry itself.
 */
export interface RegistryClient {
  /** For messages: the address without credentials. */
  readonly name: string
  /** Requests that were sent so far, retries included. */
  readonly requests: number
  /** Subjects of all contexts, qualified. */
  subjects(o?: CallOptions & { prefix?: string | undefined; deleted?: boolean | undefined }): Promise<string[]>
  versions(subject: string, o?: CallOptions & { deleted?: boolean | undefined }): Promise<number[] | undefined>
  version(
    subject: string,
    version: number,
    o?: CallOptions & { deleted?: boolean | undefined }
  ): Promise<SchemaVersion | undefined>
  /** All versions of all subjects by pages, or undefined where the registry's GET /schemas does not tell subject, version and id. */
  allVersions(
    o?: CallOptions & { prefix?: string | undefined; deleted?: boolean | undefined }
  ): Promise<SchemaVersion[] | undefined>
  /** Texts of GET /schemas, whatever else its entries tell: a cheap sign of change. Undefined where it is not there. */
  allTexts(o?: CallOptions): Promise<string[] | undefined>
  /** Content by id; `scope`: the context (or a subject in it) whose ids are meant. */
  schemaById(id: number, o?: CallOptions & { scope?: string | undefined }): Promise<SchemaContent | undefined>
  /** Where an id is used, soft-deleted versions included. Empty when the id is unknown. */
  usesOf(id: number, o?: CallOptions & { scope?: string | undefined }): Promise<{ subject: string; version: number }[]>
  /**
   * Ids of the schema that newer serializers name by a GUID (16 bytes made from its content and references), one for each context that has
   * it. Undefined where the registry knows no GUIDs (Confluent before 8.0).
   */
  idsOfGuid(guid: string, o?: CallOptions): Promise<{ context: string; id: number }[] | undefined>
  /** `id` and `version` need IMPORT. The answer's id is the registry's: compare it. */
  register(
    subject: string,
    content: SchemaContent,
    o?: CallOptions & { id?: number | undefined; version?: number | undefined }
  ): Promise<{ id: number; version?: number | undefined }>
  /** The version of the subject that has this content. */
  lookup(
    subject: string,
    content: SchemaContent,
    o?: CallOptions & { deleted?: boolean | undefined }
  ): Promise<{ id: number; version: number } | undefined>
  deleteVersion(subject: string, version: number, o?: CallOptions & { permanent?: boolean | undefined }): Promise<void>
  deleteSubject(subject: string, o?: CallOptions & { permanent?: boolean | undefined }): Promise<void>
  /** What is set on the scope itself; undefined: nothing. With `resolved`, what counts there. */
  config(
    scope: string | undefined,
    o?: CallOptions & { resolved?: boolean | undefined }
  ): Promise<RegistryLevelConfig | undefined>
  putConfig(scope: string | undefined, config: RegistryLevelConfig, o?: CallOptions): Promise<void>
  deleteConfig(scope: string | undefined, o?: CallOptions): Promise<void>
  /** What is set on the scope itself; undefined: nothing. With `resolved`, what counts there. */
  mode(
    scope: string | undefined,
    o?: CallOptions & { resolved?: boolean | undefined }
  ): Promise<RegistryMode | undefined>
  putMode(
    scope: string | undefined,
    mode: RegistryMode,
    o?: CallOptions & { force?: boolean | undefined }
  ): Promise<void>
  deleteMode(scope: string | undefined, o?: CallOptions): Promise<void>
  /** Undefined where the registry has no contexts. */
  contexts(o?: CallOptions): Promise<string[] | undefined>
}
