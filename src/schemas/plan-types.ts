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
      /** Softly deleted on the source: deleted softly again once it is there. */
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
  /** How the target is put into IMPORT: contexts as a whole, or subject by subject. Empty with `translate`. */
  importScopes: (string | undefined)[] | 'subjects'
  readonly changes: number
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
  outcomes: SubjectOutcome[]
  /** Source id → target id of everything that was registered or found. */
  ids: Map<number, number>
}
