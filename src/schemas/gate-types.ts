/** What a Mirror asks of a SchemaSync: which bytes of a record are schema ids, and whether the target has those schemas. */
export interface SchemaGate {
  /** `translate`: ids differ between the registries, records are rewritten. */
  readonly ids: 'preserve' | 'translate'
  /**
   * Whether this id belongs to a schema of the topic's subjects, as the source registry knows at or after `seenAt` (milliseconds of
   * `performance.now()`: when the record was read). What was registered later than the record was read says nothing about it. An answer of
   * true holds for good and comes at once; false is asked for anew for every record read since. Rejects (retriable) while the source
   * registry cannot be asked.
   */
  knows(topic: string, id: number, seenAt: number): boolean | Promise<boolean>
  /** The id on the target, once the schema is there; undefined: not (yet) known to be there. With `preserve` the same number. */
  targetIdOf(id: number): number | undefined
  /** The same for the 16 bytes by which newer serializers name a schema in a header. They are the same in every registry. */
  knowsGuid(topic: string, guid: string, seenAt: number): boolean | Promise<boolean>
  hasGuid(guid: string): boolean
  /**
   * Copies the subjects that use the id, with what they refer to, and resolves when `targetIdOf(id)` answers. Calls for the same id share
   * the work. Rejects with the reason it cannot be there (conflict, target read-only, unreachable: `retriable` says whether to try again).
   */
  bring(topic: string, id: number, o?: { signal?: AbortSignal | undefined }): Promise<void>
  bringGuid(topic: string, guid: string, o?: { signal?: AbortSignal | undefined }): Promise<void>
  /** Ids that were translated before, by whichever process: told once, before any other call. */
  learn(ids: Iterable<{ sourceId: number; targetId: number }>): void
  /** Called with each new translation before `targetIdOf` answers with it; a rejection keeps it back, and is tried again. */
  onTranslated(keep: (entry: { sourceId: number; targetId: number }) => Promise<void>): () => void
}
