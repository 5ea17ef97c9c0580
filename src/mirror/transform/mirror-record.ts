import { TwinlogError } from '../../errors.js'
import type { DecodedRecord } from '../../records/types.js'
import { assertTopicName } from '../../util/options.js'
import type { MirrorRecord } from '../transform-types.js'

/** Where an output wants to go. */
export interface OutputRoute {
  topic?: string | undefined
  partition?: number | undefined
}

/** One record that a transform returned, ready to be encoded. */
export interface TransformOutput {
  route: OutputRoute
  /** Its offset has no meaning yet. */
  record: DecodedRecord
}

/** What stands in a string for bytes that are not UTF-8. */
const REPLACEMENT = '�'
const INT64_END = 2n ** 63n
const INT32_END = 2 ** 31

type Headers = MirrorRecord['headers']

/**
 * One record on its way through a transform. Kafka calls header names UTF-8, but nobody enforces it: names that a string cannot hold are
 * remembered, and come back wherever the transform left them alone.
 */
export class TransformInput {
  readonly offset: bigint
  readonly record: MirrorRecord
  readonly #timestamp: bigint
  #unprintable: { entry: Headers[number]; name: string; value: Buffer | null; bytes: Buffer }[] | undefined

  constructor(decoded: DecodedRecord) {
    this.offset = decoded.offset
    this.#timestamp = decoded.timestamp
    const headers: Headers = []
    for (const [bytes, value] of decoded.headers) {
      const name = bytes.toString('utf8')
      const entry: Headers[number] = [name, value]
      headers.push(entry)
      if (name.includes(REPLACEMENT)) {
        this.#unprintable ??= []
        this.#unprintable.push({ entry, name, value, bytes })
      }
    }
    this.record = { key: decoded.key, value: decoded.value, headers, timestamp: decoded.timestamp }
  }

  /** Checks what the transform returned. Error messages name fields and types, never content. */
  outputs(result: unknown): TransformOutput[] {
    if (result === null) return []
    if (!Array.isArray(result)) return [this.#output(result, 'what it returned')]
    return result.map((element: unknown, index) => this.#output(element, `element ${index} of what it returned`))
  }

  #output(value: unknown, what: string): TransformOutput {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw invalid(`${what} is ${typeName(value)}, not a record; a record is left out by returning null`)
    }
    const { key, value: content, headers, timestamp, topic, partition } = value as Partial<MirrorRecord>
    if (!isBytes(key)) throw invalid(`key of ${what} is ${typeName(key)}, not a Buffer or null`)
    if (!isBytes(content)) throw invalid(`value of ${what} is ${typeName(content)}, not a Buffer or null`)
    if (!Array.isArray(headers)) throw invalid(`headers of ${what} is ${typeName(headers)}, not an array`)
    if (typeof timestamp !== 'bigint') throw invalid(`timestamp of ${what} is ${typeName(timestamp)}, not a bigint`)
    // Odd time stamps of the source survive as long as nobody touches them.
    if (timestamp !== this.#timestamp && (timestamp < -1n || timestamp >= INT64_END)) {
      throw invalid(`timestamp of ${what} is not between -1 and 2^63 - 1`)
    }
    if (topic !== undefined && !isTopicName(topic)) throw invalid(`topic of ${what} is not a legal topic name`)
    if (partition !== undefined && !isPartition(partition)) {
      throw invalid(`partition of ${what} is not a non-negative integer`)
    }
    const given = headers.map((entry: unknown, index) => headerOf(entry, `header ${index} of ${what}`))
    const names = this.#unprintable === undefined ? given.map(withEncodedName) : this.#originalNames(given)
    return { route: { topic, partition }, record: { offset: 0n, timestamp, key, value: content, headers: names } }
  }

  /** A transform that builds its header list anew has other arrays with the same names: the value, then the order tells which is which. */
  #originalNames(given: Headers): DecodedRecord['headers'] {
    const left = new Set(this.#unprintable)
    return given.map(entry => {
      const same = this.#unprintable?.filter(known => known.name === entry[0]) ?? []
      const known =
        same.find(candidate => candidate.entry === entry) ??
        same.find(candidate => left.has(candidate) && candidate.value === entry[1]) ??
        same[0]
      if (known === undefined) return withEncodedName(entry)
      left.delete(known)
      return [known.bytes, entry[1]]
    })
  }
}

function headerOf(entry: unknown, what: string): Headers[number] {
  if (!Array.isArray(entry)) throw invalid(`${what} is ${typeName(entry)}, not an array of name and value`)
  const [name, value] = entry as unknown[]
  if (entry.length !== 2 || typeof name !== 'string') throw invalid(`${what} is not an array of name and value`)
  if (!isBytes(value)) throw invalid(`the value of ${what} is ${typeName(value)}, not a Buffer or null`)
  return entry as Headers[number]
}

const withEncodedName = ([name, value]: Headers[number]): [Buffer, Buffer | null] => [encodedName(name), value]

const NAMES_KEPT = 512
const names = new Map<string, Buffer>()

/** Header names repeat in every record. */
function encodedName(name: string): Buffer {
  let bytes = names.get(name)
  if (bytes === undefined) {
    bytes = Buffer.from(name, 'utf8')
    if (names.size >= NAMES_KEPT) names.clear()
    if (bytes.length < 256) names.set(name, bytes)
  }
  return bytes
}

const invalid = (problem: string) =>
  new TwinlogError('TWINLOG_TRANSFORM_FAILED', `the transform returned something that cannot be written: ${problem}`)

const isBytes = (value: unknown): value is Buffer | null => value === null || Buffer.isBuffer(value)

const isPartition = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < INT32_END

function isTopicName(value: unknown): value is string {
  try {
    assertTopicName('topic', value)
    return true
  } catch {
    return false
  }
}

function typeName(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'undefined' ? 'undefined' : `of type ${typeof value}`
}
