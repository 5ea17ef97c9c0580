import { TwinlogError } from '../../errors.js'

/** Reads one response in Kafka's binary protocol; whatever does not fit into it is a `TWINLOG_PROTOCOL` error. */
export class Reader {
  readonly #buffer: Buffer
  #position: number
  /** What {@link throttle} read: how long the broker asks us to be silent (KIP-219). */
  throttleMs = 0

  constructor(buffer: Buffer, position = 0) {
    this.#buffer = buffer
    this.#position = position
  }

  get remaining(): number {
    return this.#buffer.length - this.#position
  }

  int8(): number {
    return this.#buffer.readInt8(this.#advance(1))
  }

  int16(): number {
    return this.#buffer.readInt16BE(this.#advance(2))
  }

  int32(): number {
    return this.#buffer.readInt32BE(this.#advance(4))
  }

  int64(): bigint {
    return this.#buffer.readBigInt64BE(this.#advance(8))
  }

  boolean(): boolean {
    return this.int8() !== 0
  }

  uvarint(): number {
    let value = 0
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.#buffer[this.#advance(1)] ?? 0
      value |= (byte & 0x7f) << shift
      if ((byte & 0x80) === 0) return value >>> 0
    }
    throw malformed('a variable-length integer of more than 5 bytes')
  }

  uuid(): string {
    const start = this.#advance(16)
    return this.#buffer.toString('base64url', start, start + 16)
  }

  /** COMPACT_NULLABLE_STRING. */
  compactNullableString(): string | null {
    const length = this.uvarint() - 1
    if (length < 0) return null
    const start = this.#advance(length)
    return this.#buffer.toString('utf8', start, start + length)
  }

  compactString(): string {
    const value = this.compactNullableString()
    if (value === null) throw malformed('null where a string must be')
    return value
  }

  /** COMPACT_NULLABLE_BYTES as a view of the response, null as empty. */
  compactBytes(): Buffer {
    const length = this.uvarint() - 1
    return length <= 0 ? EMPTY : this.bytes(length)
  }

  /** A view of the next bytes; nothing is copied. */
  bytes(length: number): Buffer {
    const start = this.#advance(length)
    return this.#buffer.subarray(start, start + length)
  }

  rest(): Buffer {
    return this.bytes(this.remaining)
  }

  /** ARRAY with a 32-bit count (not flexible). */
  array<T>(read: () => T): T[] {
    return this.#items(this.int32(), read)
  }

  /** COMPACT_ARRAY; null comes out as empty. */
  compactArray<T>(read: () => T): T[] {
    return this.#items(this.uvarint() - 1, read)
  }

  compactInt32Array(): number[] {
    return this.compactArray(() => this.int32())
  }

  /** Skips a tag section; `read` gets the tags that it knows (by number) as readers of their own. */
  tags(read?: (tag: number, content: Reader) => void): void {
    const count = this.uvarint()
    for (let i = 0; i < count; i++) {
      const tag = this.uvarint()
      const content = this.bytes(this.uvarint())
      read?.(tag, new Reader(content))
    }
  }

  /** THROTTLE_TIME_MS: remembered for the connection. */
  throttle(): number {
    this.throttleMs = this.int32()
    return this.throttleMs
  }

  #items<T>(count: number, read: () => T): T[] {
    if (count <= 0) return []
    // Every element takes at least one byte: a count beyond that is damage and must not become an allocation.
    if (count > this.remaining) throw malformed(`an array of ${count} elements in ${this.remaining} bytes`)
    const items = new Array<T>(count)
    for (let i = 0; i < count; i++) items[i] = read()
    return items
  }

  #advance(bytes: number): number {
    const start = this.#position
    if (bytes > this.#buffer.length - start) {
      throw malformed(`${bytes} bytes wanted at position ${start}, the response has ${this.#buffer.length}`)
    }
    this.#position = start + bytes
    return start
  }
}

const EMPTY = Buffer.alloc(0)

function malformed(what: string): TwinlogError {
  return new TwinlogError('TWINLOG_PROTOCOL', `malformed response: ${what}`)
}
