import { TwinlogError } from '../../errors.js'
import { Reader } from '../../kafka/protocol/reader.js'
import { Writer } from '../../kafka/protocol/writer.js'
import { type LaneKey, readKeys, writeKeys } from './lane-keys.js'

/** A Kafka group is of one protocol type: consumers can't join ours, nor we theirs, while it has members. */
export const PROTOCOL_TYPE = 'twinlog'
/** A group takes a protocol that all its members offer. A later version offers its own and this one. */
export const PROTOCOL_NAME = 'lanes-1'

/**
 * Version of the bytes below. A reader skips what it doesn't know at the end, so fields can be added under the same
 * version; what a reader of today would misunderstand needs another protocol name.
 */
const VERSION = 1
const KIB = 1024
const LARGEST_UVARINT = 2 ** 32 - 1

/** What a member says of itself when it joins. */
export interface Subscription {
  name: string
  /** The generation that gave it `current`, −1 before the first. */
  generation: number
  known: ReadonlySet<LaneKey>
  /** Lanes of `known` that it copies, with bytes per second. */
  current: ReadonlyMap<LaneKey, number>
}

export interface Assignment {
  /** Members of this generation. */
  members: number
  lanes: ReadonlySet<LaneKey>
}

/*
Subscription => version INT8, name COMPACT_STRING, generation INT32, [hashes]
  hashes => hash 8 bytes, [runs], [current]
    runs => gap UVARINT (from the end of the run before, which is −1 at first), length UVARINT
    current => index of the number among those of the runs UVARINT, KiB per second UVARINT
*/
export function encodeSubscription({ name, generation, known, current }: Subscription): Buffer {
  const writer = new Writer().int8(VERSION).compactString(name).int32(generation)
  writeKeys(writer, known, (hash, numbers) => {
    const copied = numbers.flatMap((number, index) => {
      const weight = current.get(`${hash}/${number}`)
      return weight === undefined ? [] : [{ index, weight }]
    })
    writer.compactArray(copied, ({ index, weight }) => {
      writer.uvarint(index).uvarint(Math.min(LARGEST_UVARINT, Math.max(0, Math.round(weight / KIB))))
    })
  })
  return writer.toBuffer()
}

export function decodeSubscription(bytes: Buffer): Subscription {
  const reader = versioned(bytes)
  const name = reader.compactString()
  const generation = reader.int32()
  const current = new Map<LaneKey, number>()
  const known = readKeys(reader, (hash, numbers) => {
    reader.compactArray(() => {
      const number = numbers[reader.uvarint()]
      const weight = reader.uvarint() * KIB
      if (number !== undefined) current.set(`${hash}/${number}`, weight)
    })
  })
  return { name, generation, known, current }
}

/*
Assignment => version INT8, members INT32, [hashes]
  hashes => hash 8 bytes, [runs] as above
*/
export function encodeAssignment({ members, lanes }: { members: number; lanes: Iterable<LaneKey> }): Buffer {
  const writer = new Writer().int8(VERSION).int32(members)
  writeKeys(writer, lanes)
  return writer.toBuffer()
}

export function decodeAssignment(bytes: Buffer): Assignment {
  const reader = versioned(bytes)
  return { members: reader.int32(), lanes: readKeys(reader) }
}

function versioned(bytes: Buffer): Reader {
  const reader = new Reader(bytes)
  const version = reader.int8()
  if (version === VERSION) return reader
  throw new TwinlogError('TWINLOG_PROTOCOL', `${PROTOCOL_NAME} in version ${version}, only ${VERSION} is known here`)
}
