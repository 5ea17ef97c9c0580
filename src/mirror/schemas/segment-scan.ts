import { payloadOf } from '../../records/decode.js'
import type { BatchView, Segment } from '../../records/types.js'
import type { Meaning, ReadLook } from './read-look.js'
import { type IdPatches, patchBatch } from './rewrite-ids.js'
import { type DeltaRange, type HeaderPlaces, type PlaceSink, readId, walkPlaces } from './walk-places.js'
import { GUID_BYTES, headerRefAt, ID_BYTES, type Part, type SchemaRef } from './wire-format.js'

type DataSegment = Extract<Segment, { kind: 'data' }>

/** A record that cannot go on as things are. */
export interface Obstacle {
  offset: bigint
  part: Part
  ref: SchemaRef
  /** `missing`: its schema is not on the target. `asked`: nobody knows yet whether it has one. */
  status: 'missing' | 'asked'
}

/** What is to be done at an obstacle: look further, or no more. */
export type OnObstacle = (obstacle: Obstacle) => 'go-on' | 'enough'

/** Content of batches that was decompressed for a look, for the next one at the same batches. */
export type Payloads = Map<BatchView, Buffer>

/**
 * Looks at every record of some segments for names of schemas, in order, and notes which ids are others on the target. Thousands of
 * records with one id cost one look at it.
 */
export class SegmentScan implements PlaceSink {
  readonly #look: ReadLook
  readonly #payloads: Payloads | undefined
  readonly #onObstacle: OnObstacle
  readonly #patches = new Map<BatchView, IdPatches>()
  #batch!: BatchView
  #payload!: Buffer
  // The last name in front of a key and of a value, and what becomes of it.
  #keyId = -1
  #keyTarget = -1
  #valueId = -1
  #valueTarget = -1
  readonly #header: Record<Part, { bytes: Buffer; ref: SchemaRef } | undefined> = { key: undefined, value: undefined }
  #enough = false

  constructor(o: { look: ReadLook; onObstacle: OnObstacle; payloads?: Payloads | undefined }) {
    this.#look = o.look
    this.#payloads = o.payloads
    this.#onObstacle = o.onObstacle
  }

  /** The codecs of all batches must be loaded. @throws TwinlogError TWINLOG_CORRUPT_BATCH */
  run(segments: readonly Segment[]): void {
    for (let index = 0; index < segments.length && !this.#enough; ) {
      const segment = segments[index++] as Segment
      if (segment.kind === 'gap') continue
      const ranges = [rangeOf(segment)]
      // What is left of a batch when something was carved out of it.
      for (let next = segments[index]; next !== undefined; next = segments[++index]) {
        if (next.kind === 'gap') continue
        if (next.batch !== segment.batch) break
        ranges.push(rangeOf(next))
      }
      this.#walk(segment.batch, ranges)
    }
  }

  /** The same segments with the target's ids, as far as they were looked at. */
  rewritten(segments: readonly Segment[]): Segment[] {
    if (this.#patches.size === 0) return [...segments]
    const done = new Map<BatchView, BatchView>()
    return segments.map(segment => {
      const patches = segment.kind === 'data' ? this.#patches.get(segment.batch) : undefined
      if (segment.kind === 'gap' || patches === undefined) return segment
      const batch = done.get(segment.batch) ?? patchBatch(segment.batch, patches)
      done.set(segment.batch, batch)
      return { ...segment, batch }
    })
  }

  prefix(part: Part, id: number, at: number, delta: number): boolean {
    if (part === 'key' ? id === this.#keyId : id === this.#valueId) {
      const target = part === 'key' ? this.#keyTarget : this.#valueTarget
      if (target !== id) this.#patch(at, target)
      return false
    }
    const status = this.#look.status(part, id)
    if (status === 'asked' || status === 'missing') return this.#obstacle({ part, ref: id, status }, delta)
    const target = status === 'here' ? (this.#look.targetOf(part, id) as number) : id
    if (part === 'key') [this.#keyId, this.#keyTarget] = [id, target]
    else [this.#valueId, this.#valueTarget] = [id, target]
    if (target !== id) this.#patch(at, target)
    return false
  }

  withHeaders(places: HeaderPlaces, keyAt: number, valueAt: number, delta: number): boolean {
    return this.#part('key', places, keyAt, delta) || this.#part('value', places, valueAt, delta)
  }

  #part(part: Part, places: HeaderPlaces, prefixAt: number, delta: number): boolean {
    let only = -1
    let count = 0
    for (let index = 0; index < places.count; index++) {
      if (places.parts[index] !== part) continue
      only = index
      count++
    }
    if (count === 1 && this.#asBefore(part, places.at[only] as number, places.lengths[only] as number)) return false
    const refs: SchemaRef[] = []
    const ats: number[] = []
    for (let index = 0; count > 0 && index < places.count; index++) {
      const at = places.at[index] as number
      const ref =
        places.parts[index] === part ? headerRefAt(this.#payload, at, places.lengths[index] as number) : undefined
      if (ref === undefined) continue
      refs.push(ref)
      ats.push(at)
    }
    const prefix = prefixAt < 0 ? undefined : readId(this.#payload, prefixAt)
    const meaning: Meaning = this.#look.meaning(part, refs, prefix)
    if (meaning.status === 'other') return false
    if (meaning.status !== 'here') return this.#obstacle({ part, ref: meaning.ref, status: meaning.status }, delta)
    if (!meaning.header) {
      this.#rewrite(part, meaning.ref, prefixAt)
      return false
    }
    for (const [index, ref] of refs.entries()) this.#rewrite(part, ref, ats[index] as number)
    const [at, ref] = [ats[0] as number, refs[0] as SchemaRef]
    if (refs.length === 1) {
      const bytes = Buffer.from(this.#payload.subarray(at, at + (typeof ref === 'number' ? ID_BYTES : GUID_BYTES)))
      this.#header[part] = { bytes, ref }
    }
    return false
  }

  /** The header says what that of an earlier record said, and its schema is here. */
  #asBefore(part: Part, at: number, length: number): boolean {
    const last = this.#header[part]
    if (last === undefined || length < last.bytes.length) return false
    for (let index = 0; index < last.bytes.length; index++)
      if (this.#payload[at + index] !== last.bytes[index]) return false
    this.#rewrite(part, last.ref, at)
    return true
  }

  #rewrite(part: Part, ref: SchemaRef, at: number): void {
    const target = this.#look.targetOf(part, ref)
    if (typeof target === 'number' && target !== ref) this.#patch(at, target)
  }

  #walk(batch: BatchView, ranges: DeltaRange[]): void {
    const payload = this.#payloads?.get(batch) ?? payloadOf(batch)
    this.#payloads?.set(batch, payload)
    this.#batch = batch
    this.#payload = payload
    walkPlaces(batch, payload, ranges, this)
  }

  #patch(at: number, id: number): void {
    let patches = this.#patches.get(this.#batch)
    if (patches === undefined) {
      patches = { payload: this.#payload, at: [], ids: [] }
      this.#patches.set(this.#batch, patches)
    }
    patches.at.push(at)
    patches.ids.push(id)
  }

  #obstacle(found: Omit<Obstacle, 'offset'>, delta: number): boolean {
    this.#enough = this.#onObstacle({ ...found, offset: this.#batch.baseOffset + BigInt(delta) }) === 'enough'
    return this.#enough
  }
}

function rangeOf({ batch, from, to }: DataSegment): DeltaRange {
  return { from: Number(from - batch.baseOffset), to: Number(to - batch.baseOffset) }
}

/** What lies before an offset. */
export function segmentsBefore(segments: readonly Segment[], offset: bigint): Segment[] {
  const before: Segment[] = []
  for (const segment of segments) {
    if (segment.from >= offset) break
    before.push(segment.to <= offset ? segment : { ...segment, to: offset })
  }
  return before
}
