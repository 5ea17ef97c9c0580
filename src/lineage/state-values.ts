import { TwinlogError } from '../errors.js'
import type { Gap } from './gap-table.js'
import type { LaneEpoch } from './sequence.js'

/** Version of every value format below. A reader that meets another one stops with a clear error instead of guessing. */
const STATE_VERSION = 1

/** Chunks in which a length is negative (an expansion): lengths are zigzag. */
const SIGNED_CHUNK_VERSION = 2

/** Binds the link to both clusters. First one written wins. */
export interface LinkEntry {
  link: string
  sourceAlias: string
  targetAlias: string
  sourceClusterId: string
  targetClusterId: string
}

/** The link's producer id, with the time of the last InitProducerId. Last one wins. */
export interface ProducerEntry {
  producerId: bigint
  renewedAtMs: number
}

/** Where and under which plan a lane began. First one written wins. */
export interface BirthEntry {
  sourceTopic: string
  sourceTopicId: string
  sourcePartition: number
  targetTopic: string
  targetTopicId: string
  targetPartition: number
  planDigest: string
  /** Source offset at which fetching starts, and the first ordinal. */
  first: bigint
  /** End of the target partition when the lane was born. */
  targetEnd: bigint
  producerId: bigint
  /** 0: the link's producer id writes here at epoch 0, sequence = ordinal. −1: born behind a fence, the first identity is the first EpochEntry. */
  epoch: number
}

/** From ordinal `base` on, this identity writes, beginning with `firstSequence`. Written ahead of its first data. First one wins. */
export type EpochEntry = LaneEpoch

/** How far the lane is, at most a second old. That of the later identity wins, within one identity the higher one. */
export interface CheckpointEntry {
  /** Ordinal of the next record. */
  next: bigint
  /** Target offset behind the lane's last record. */
  targetEnd: bigint
  /** The log between `targetEnd` and here holds nothing of the lane; absent: not known. */
  seenTo?: bigint | undefined
  sourceLeaderEpoch: number
  /** Source position up to which everything is on the target or known to be a gap. */
  reached: bigint
  /** Identity under which the lane was written when this was noted; absent: the oldest one. */
  producerId?: bigint | undefined
  epoch?: number | undefined
}

/** Which partitions were there on the source when the link was created, by topic id. First one wins. */
export interface StartEntry {
  topics: Record<string, number>
}

/** `closed`: a move has ended this lane; nobody copies into it until a later move opens it. Last one wins, within a service the higher epoch. */
export interface GateEntry {
  state: 'closed' | 'opened'
  service: string
  moveEpoch: number
}

/** A group's last known commits on the source, and what group sync wrote on the target for them. Last one wins. */
export interface GroupEntry {
  positions: GroupPosition[]
}

export interface GroupPosition {
  topic: string
  partition: number
  /** Last known commit on the source. */
  source: bigint
  targetTopic: string
  targetPartition: number
  /** What was written on the target last, written down here before it is committed there; so `previous` may still stand there. */
  written: bigint | null
  previous: bigint | null
  writtenAtMs: number
}

/** What a schema id of the source is called on the target. Last one wins: a registry that was built anew counts other ids. */
export interface SchemaIdEntry {
  sourceId: number
  targetId: number
}

export interface GapChunk {
  producerId: bigint
  epoch: number
  gaps: Gap[]
}

/** A new history of the source begins at ordinal `ordinal`: a gap with `era`, which has no place in a chunk. */
export interface EraEntry extends Gap {
  producerId: bigint
  epoch: number
  era: bigint
}

const BIGINT_FIELDS = new Set([
  'producerId',
  'first',
  'targetEnd',
  'seenTo',
  'base',
  'next',
  'reached',
  'source',
  'written',
  'previous',
  'ordinal',
  'from',
  'length',
  'era'
])

export function encodeEntry(entry: object): Buffer {
  return Buffer.from(
    JSON.stringify({ v: STATE_VERSION, ...entry }, (_name, value: unknown) =>
      typeof value === 'bigint' ? value.toString() : value
    )
  )
}

export function decodeEntry<T>(value: Buffer, what: string): T {
  let parsed: { v?: unknown } | null
  try {
    parsed = JSON.parse(value.toString('utf8'), (name, field: unknown) =>
      BIGINT_FIELDS.has(name) && typeof field === 'string' ? BigInt(field) : field
    ) as { v?: unknown } | null
  } catch (cause) {
    throw new TwinlogError(
      'TWINLOG_STATE_INVALID',
      `${what} is not readable: the state topic holds foreign or damaged data`,
      { cause }
    )
  }
  if (parsed?.v !== STATE_VERSION) throw unknownVersion(what, parsed?.v)
  return parsed as T
}

/**
 * A chunk of gaps: version, producer id, epoch, first ordinal, first source offset, then groups of equal (distance to the
 * previous gap's ordinal, length) with their repetition. Lengths are unsigned (version 1) unless one is negative (version 2). A transactional source repeats itself, so most groups stand for many gaps.
 */
export function encodeGapChunk(chunk: GapChunk): Buffer {
  const first = chunk.gaps[0]
  if (!first) throw new TwinlogError('TWINLOG_INTERNAL', 'a chunk of gaps must not be empty')
  const signed = chunk.gaps.some(gap => gap.length < 0n)
  const bytes: number[] = []
  pushVarint(bytes, BigInt(signed ? SIGNED_CHUNK_VERSION : STATE_VERSION))
  pushVarint(bytes, chunk.producerId)
  pushVarint(bytes, BigInt(chunk.epoch))
  pushVarint(bytes, first.ordinal)
  pushVarint(bytes, first.from)
  let previous = first.ordinal
  let skipped = first.from - first.ordinal
  let group: { distance: bigint; length: bigint; times: bigint } | undefined
  const flush = () => {
    if (!group) return
    pushVarint(bytes, group.distance)
    pushVarint(bytes, signed ? zigzag(group.length) : group.length)
    pushVarint(bytes, group.times - 1n)
  }
  for (const gap of chunk.gaps) {
    if (gap.era !== undefined)
      throw new TwinlogError(
        'TWINLOG_INTERNAL',
        `the era at ordinal ${gap.ordinal} must not be part of a chunk of gaps`
      )
    if (gap.from - gap.ordinal !== skipped) {
      throw new TwinlogError(
        'TWINLOG_INTERNAL',
        `gaps of one chunk must follow each other: one is missing before ordinal ${gap.ordinal}`
      )
    }
    const distance = gap.ordinal - previous
    previous = gap.ordinal
    skipped += gap.length
    if (group && group.distance === distance && group.length === gap.length) {
      group.times += 1n
      continue
    }
    flush()
    group = { distance, length: gap.length, times: 1n }
  }
  flush()
  return Buffer.from(bytes)
}

export function decodeGapChunk(value: Buffer, what: string): GapChunk {
  const input = { value, at: 0, what }
  const version = readVarint(input)
  const signed = version === BigInt(SIGNED_CHUNK_VERSION)
  if (!signed && version !== BigInt(STATE_VERSION)) throw unknownVersion(what, version)
  const producerId = readVarint(input)
  const epoch = Number(readVarint(input))
  let ordinal = readVarint(input)
  let from = readVarint(input)
  const gaps: Gap[] = []
  while (input.at < value.length) {
    const distance = readVarint(input)
    const plain = readVarint(input)
    const length = signed ? unzigzag(plain) : plain
    const times = readVarint(input) + 1n
    for (let repetition = 0n; repetition < times; repetition++) {
      ordinal += distance
      from += distance
      gaps.push({ ordinal, from, length })
      from += length
    }
  }
  return { producerId, epoch, gaps }
}

function unknownVersion(what: string, version: unknown): TwinlogError {
  return new TwinlogError(
    'TWINLOG_STATE_INVALID',
    `${what} has version ${String(version)}, this twinlog reads version ${STATE_VERSION}: a newer twinlog wrote it; update this one`
  )
}

const zigzag = (value: bigint) => (value < 0n ? -2n * value - 1n : 2n * value)
const unzigzag = (value: bigint) => (value & 1n ? -(value + 1n) / 2n : value / 2n)

function pushVarint(bytes: number[], value: bigint): void {
  let rest = value
  while (rest > 0x7fn) {
    bytes.push(Number(rest & 0x7fn) | 0x80)
    rest >>= 7n
  }
  bytes.push(Number(rest))
}

function readVarint(input: { value: Buffer; at: number; what: string }): bigint {
  let result = 0n
  for (let shift = 0n; ; shift += 7n) {
    const byte = input.value[input.at++]
    if (byte === undefined || shift > 63n) {
      throw new TwinlogError(
        'TWINLOG_STATE_INVALID',
        `${input.what} is cut short: the state topic holds foreign or damaged data`
      )
    }
    result |= BigInt(byte & 0x7f) << shift
    if (byte < 0x80) return result
  }
}
