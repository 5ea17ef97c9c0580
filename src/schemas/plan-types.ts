import type { TwinlogError } from '../errors.js'
import type { RegistryLevelConfig, RegistryMode, SchemaReference, SchemaVersion } from './registry-types.js'

/** One request of the plan. Versions and ids of the source are in `from`; subject names are the target's. */
export type SchemaStep =
  /** `undefined` removes what is set. */
  | { kind: 'config'; config: RegistryLevelConfig | undefined }
  | {
      kind: 'register'
      from: SchemaVersion
      /** With `preserve`: under this id and version. Absent with `translate`: the registry chooses. */
      id?: number | undefined
      version?: number | undefined
      /** As the target knows them; with `translate` the versions are looked up when the step is done. */
      references: SchemaReference[]
      /** The same references as the source knows them, qualified: `from.references` may be relative to the subject's context. */
      refersTo: { subject: string; version: number }[]
      /**
       * Softly deleted on the source: deleted softly again, but only when every `register` step of the subject is done. Registering a
       * later version of the same id removes a deleted earlier one, and deleting the last live version clears config and mode. The newest
       * goes first, as a version can refer to one before it.
       */
      thenDelete: boolean
    }
  | { kind: 'delete-version'; version: number; permanent: boolean }
  | { kind: 'delete-subject'; permanent: boolean }
  | { kind: 'mode'; mode: RegistryMode | undefined }

export interface SubjectPlan {
  /** On the source; undefined: the target alone has it. */
  from: string | undefined
  /** On the target. */
  subject: string
  /** In the order in which they are done. */
  steps: SchemaStep[]
  /** Subjects of the target (of this plan) that have to be done before. */
  after: string[]
  /** What the target holds of the subject, deleted versions included: 'live' needs force for IMPORT, as does 'deleted'. */
  targetHas: 'nothing' | 'live' | 'deleted'
}

export type SchemaConflictKind =
  | 'id-taken'
  | 'version-taken'
  | 'version-order'
  | 'read-only'
  | 'incompatible'
  | 'invalid'
  | 'id-differs'
  | 'missing-reference'
  | 'reference-cycle'
  | 'blocked'
  | 'deletes-refused'
  | 'failed'

/** Why a subject is not alike, and stays so. */
export interface SchemaConflict {
  subject: string
  kind: SchemaConflictKind
  message: string
  version?: number | undefined
  id?: number | undefined
  /** It may go well the next time without anybody changing anything: the registry did not do it now. */
  retriable?: boolean | undefined
}

/** What a sync would do. Nothing was changed for it. */
export interface SchemaPlan {
  ids: 'preserve' | 'translate'
  subjects: SubjectPlan[]
  /** Config of the registry (`undefined` scope) and of contexts. */
  levels: { scope: string | undefined; steps: SchemaStep[] }[]
  conflicts: SchemaConflict[]
  /** Subjects that were compared. */
  compared: number
  /** Of them, those whose own config was looked at. */
  configsCompared: number
  /**
   * How the target is put into IMPORT: these contexts as a whole, subjects of all others one by one; 'subjects': all one by one. Empty with
   * `translate`. The registry itself (`undefined`) always needs force: without it Confluent looks at the subjects of every context, our
   * note among them, and would remove softly deleted ones of other contexts. So do contexts with `importScope: 'context'`.
   */
  importScopes: (string | undefined)[] | 'subjects'
  /** Contexts of `importScopes` that have subjects already (`importScope: 'context'`): they need force. */
  occupiedScopes: (string | undefined)[]
  /**
   * The source's context whose ids records carry (`.`: the default one). Every context counts its own ids, so a map of ids is of this one
   * alone: {@link ApplyResult.ids} has no others.
   */
  idContext: string
  /** With `translate`: what of the source is on the target already, by `versionKey()` of the source's subject and version. */
  known: ReadonlyMap<string, { subject: string; version: number; id: number }>
  /** What can only be done when all of this is done: deletes, and versions of subjects that refer to each other in turns. Applied by itself. */
  then?: SchemaPlan | undefined
  readonly changes: number
  /** A table for people. */
  toString(): string
  toJSON(): Record<string, unknown>
}

/** What became of one subject of the plan. */
export interface SubjectOutcome {
  subject: string
  /** Steps that were done (and not taken back). */
  done: number
  conflict?: SchemaConflict | undefined
}

/** What the executor needs besides the plan. */
export interface ApplyResult {
  /** Of every subject of the plan; of levels under the context's scope (`:.ctx:`), or `(registry)`. */
  outcomes: SubjectOutcome[]
  /** The target does not keep ids: nothing was written after that was seen, all other subjects are 'blocked' by it. */
  stopped: TwinlogError | undefined
  /** Source id → target id of everything that was registered or found. */
  ids: Map<number, number>
  /** What `register` steps led to (and was not taken back): `version` where the registry told it or it was looked up. */
  registered: { subject: string; from: SchemaVersion; id: number; version?: number | undefined }[]
}
