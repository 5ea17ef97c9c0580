/** What a Mirror asks of a SchemaSync: which bytes of a record are schema ids, and whether the target has those schemas. */
export interface SchemaGate {
  /** `translate`: ids differ between the registries, records are rewritten. */
  readonly ids: 'preserve' | 'translate'
  /**
   * Whether this id belongs to a schema of the topic's subjects, as the source registry knows at or after `seenAt` (milliseconds of
   * `performance.now()`: when the record was read). What was registered later than the record was read says nothing about it. An answer of
   * true holds for good and comes at once; false is asked for anew for every record read since, and at
   * once for those of which it was asked since they were read. Rejects (retriable) while the source
   * registry cannot be asked.
   *
   * `part` is where the record has it. A subject that ends in `-value` says nothing about keys, and one that ends in `-key` nothing about
   * values: the eight bytes of a Long key between 16,777,216 and 33,554,431 begin with 0 and the number 1, and must not become the id of
   * whatever schema the values have.
   */
  knows(topic: string, id: number, seenAt: number, part?: 'key' | 'value'): boolean | Promise<boolean>
  /** The id on the target, once the schema is there; undefined: not (yet) known to be there. With `preserve` the same number. */
  targetIdOf(id: number): number | undefined
  /**
   * The same for the 16 bytes by which newer serializers name a schema in a header, as `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` in lower
   * case. They are the same in every registry.
   */
  knowsGuid(topic: string, guid: string, seenAt: number, part?: 'key' | 'value'): boolean | Promise<boolean>
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
