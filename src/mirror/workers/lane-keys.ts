import { createHash } from 'node:crypto'
import { TwinlogError } from '../../errors.js'
import type { Reader } from '../../kafka/protocol/reader.js'
import type { Writer } from '../../kafka/protocol/writer.js'

/**
 * What members call a lane among themselves: a hash of its id up to the last slash, and the number behind it. The broker keeps
 * what every member says in one record of at most 1 MiB, so ids with a name in full would allow few members of many lanes.
 */
export type LaneKey = string

/** Far more than anybody copies: damaged bytes must not become an allocation. */
const MOST_LANES = 1_000_000
const HASH_BYTES = 8
/** Stands for "no number behind a slash". */
const NO_NUMBER = -1
const LARGEST_NUMBER = 2 ** 31 - 1

/** The ids of some lanes by their keys. */
export function keysOf(laneIds: Iterable<string>): Map<LaneKey, string> {
  const hashes = new Map<string, string>()
  const keys = new Map<LaneKey, string>()
  for (const id of laneIds) {
    const { text, number } = split(id)
    let hash = hashes.get(text)
    if (hash === undefined) {
      hash = createHash('sha256').update(text).digest().toString('hex', 0, HASH_BYTES)
      hashes.set(text, hash)
    }
    keys.set(`${hash}/${number}`, id)
  }
  return keys
}

/** Lanes as runs of numbers under each hash; `each` adds something to every hash, given its numbers. */
export function writeKeys(
  writer: Writer,
  keys: Iterable<LaneKey>,
  each?: (hash: string, numbers: readonly number[]) => void
): void {
  const groups = new Map<string, number[]>()
  for (const key of keys) {
    const slash = key.indexOf('/')
    const hash = key.slice(0, slash)
    const numbers = groups.get(hash)
    if (numbers === undefined) groups.set(hash, [Number(key.slice(slash + 1))])
    else numbers.push(Number(key.slice(slash + 1)))
  }
  writer.compactArray([...groups].sort(), ([hash, numbers]) => {
    numbers.sort((a, b) => a - b)
    writer.reference(Buffer.from(hash, 'hex'))
    let behind = NO_NUMBER
    writer.compactArray(runsOf(numbers), ({ from, length }) => {
      writer.uvarint(from - behind).uvarint(length)
      behind = from + length
    })
    each?.(hash, numbers)
  })
}

export function readKeys(reader: Reader, each?: (hash: string, numbers: readonly number[]) => void): Set<LaneKey> {
  const keys = new Set<LaneKey>()
  reader.compactArray(() => {
    const hash = reader.bytes(HASH_BYTES).toString('hex')
    const numbers: number[] = []
    let behind = NO_NUMBER
    reader.compactArray(() => {
      const from = behind + reader.uvarint()
      const length = reader.uvarint()
      if (keys.size + numbers.length + length > MOST_LANES) {
        throw new TwinlogError('TWINLOG_PROTOCOL', `malformed list of lanes: more than ${MOST_LANES}`)
      }
      for (let number = from; number < from + length; number++) numbers.push(number)
      behind = from + length
    })
    for (const number of numbers) keys.add(`${hash}/${number}`)
    each?.(hash, numbers)
  })
  return keys
}

function split(id: string): { text: string; number: number } {
  const slash = id.lastIndexOf('/')
  const number = Number(id.slice(slash + 1))
  // Only what is written as the number itself would be: `07` and `7` are two lanes.
  const plain = slash >= 0 && Number.isInteger(number) && number >= 0 && number <= LARGEST_NUMBER
  if (plain && String(number) === id.slice(slash + 1)) return { text: id.slice(0, slash), number }
  return { text: id, number: NO_NUMBER }
}

function runsOf(sorted: readonly number[]): { from: number; length: number }[] {
  const runs: { from: number; length: number }[] = []
  for (const number of sorted) {
    const last = runs.at(-1)
    if (last !== undefined && number === last.from + last.length) last.length++
    else runs.push({ from: number, length: 1 })
  }
  return runs
}
