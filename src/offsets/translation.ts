/** Where a consumer at a position of one cluster resumes on the other. Exact, or it says why not; never a guess, never -1. */
export type Translation =
  | { kind: 'exact'; topic: string; partition: number; offset: bigint }
  | { kind: 'beyond-mirrored'; topic: string; partition: number; offset: bigint; missing: { from: bigint; to: bigint } }
  | { kind: 'before-mirrored'; topic: string; partition: number; offset: bigint }
  | {
      kind: 'vector'
      topic: string
      partition: number
      resumeAt: bigint
      repeats: { origin: string; from: bigint; to: bigint }[]
    }
  | { kind: 'approximate'; topic: string; partition: number; offset: bigint; source: 'mm2' }
  | { kind: 'unknown'; reason: 'topic' | 'partition' | 'topic-recreated' | 'state-lost' }

export interface Position {
  topic: string
  partition: number
  offset: bigint
}

export interface GroupTranslationPartition {
  source: Position
  target: Translation
  /** Committed to the group on the target by this call. */
  applied: boolean
  /** Why it was not: the group is in use, somebody else committed there, or the position is not known. */
  refused?: 'active' | 'diverged' | 'unknown'
}

export interface GroupTranslation {
  groupId: string
  at: Date
  partitions: GroupTranslationPartition[]
}

/** As handed out: `JSON.stringify` gives decimal strings for offsets. */
export class GroupTranslationReport implements GroupTranslation {
  readonly groupId: string
  readonly at: Date
  readonly partitions: GroupTranslationPartition[]

  constructor(groupId: string, partitions: GroupTranslationPartition[], at = new Date()) {
    this.groupId = groupId
    this.at = at
    this.partitions = partitions
  }

  toJSON(): object {
    return JSON.parse(
      JSON.stringify({ groupId: this.groupId, at: this.at, partitions: this.partitions }, (_name, value: unknown) =>
        typeof value === 'bigint' ? value.toString() : value
      )
    ) as object
  }
}

/** The offset to commit for a translation, if it names one. */
export function resumeOffset(translation: Translation): bigint | undefined {
  if (translation.kind === 'unknown') return undefined
  return translation.kind === 'vector' ? translation.resumeAt : translation.offset
}
