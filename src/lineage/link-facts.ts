import { isDeepStrictEqual } from 'node:util'
import type { StateKey } from './state-keys.js'
import {
  decodeEntry,
  encodeEntry,
  type LinkEntry,
  type ProducerEntry,
  type SchemaIdEntry,
  type StartEntry
} from './state-values.js'

/** What the state topic says about the link as a whole (its partition 0), folded record by record. */
export class LinkFacts {
  link: LinkEntry | undefined
  producer: ProducerEntry | undefined
  start: StartEntry | undefined
  /** Target id by source id. */
  readonly schemaIds = new Map<number, number>()

  /** Folds one record in; answers the winner's value when this record contradicts a decision made before it. */
  fold(key: StateKey, value: Buffer, what: string): Buffer | undefined {
    switch (key.kind) {
      case 'link': {
        const entry = decodeEntry<LinkEntry>(value, what)
        this.link ??= entry
        return entry.sourceClusterId === this.link.sourceClusterId ? undefined : encodeEntry(this.link)
      }
      case 'producer':
        this.producer = decodeEntry<ProducerEntry>(value, what)
        return undefined
      case 'start': {
        const entry = decodeEntry<StartEntry>(value, what)
        this.start ??= entry
        return isDeepStrictEqual(entry.topics, this.start.topics) ? undefined : encodeEntry(this.start)
      }
      case 'schema': {
        const { sourceId, targetId } = decodeEntry<SchemaIdEntry>(value, what)
        this.schemaIds.set(sourceId, targetId)
        return undefined
      }
      default:
        return undefined
    }
  }
}
