import { TwinlogError } from '../../errors.js'

const INITIAL_BYTES = 512

/**
 * Builds one request in Kafka's binary protocol. Record batches are kept as references and come out as segments of
 * their own, so that megabytes of records reach the socket without being copied.
 */
export class Writer {
  #chunk = Buffer.allocUnsafe(INITIAL_BYTES)
  /** Where the part of the chunk begins that is not yet in a segment. */
  #start = 0
  #position = 0
  #segments: Buffer[] = []
  #segmentBytes = 0

  get length(): number {
    return this.#segmentBytes + this.#position - this.#start
  }

  /** The bytes written so far; the writer must not be used afterwards. */
  finish(): Buffer[] {
    this.#cut()
    return this.#segments
  }

  /** Everything in one buffer; copies. For tests and small bodies. */
  toBuffer(): Buffer {
    return Buffer.concat(this.finish())
  }

  int8(value: number): this {
    this.#reserve(1)
    this.#position = this.#chunk.writeInt8(value, this.#position)
    return this
  }

  int16(value: number): this {
    this.#reserve(2)
    this.#position = this.#chunk.writeInt16BE(value, this.#position)
    return this
  }

  int32(value: number): this {
    this.#reserve(4)
    this.#position = this.#chunk.writeInt32BE(value, this.#position)
    return this
  }

  int64(value: bigint): this {
    this.#reserve(8)
    this.#position = this.#chunk.writeBigInt64BE(value, this.#position)
    return this
  }

  boolean(value: boolean): this {
    return this.int8(value ? 1 : 0)
  }

  /** Unsigned variable-length integer of up to 32 bits. */
  uvarint(value: number): this {
    this.#reserve(5)
    let rest = value >>> 0
    while (rest > 0x7f) {
      this.#chunk[this.#position++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#chunk[this.#position++] = rest
    return this
  }

  /** Topic id as Kafka prints it: 16 bytes in base64url. */
  uuid(id: string): this {
    this.#reserve(16)
    const written = id.length === 22 ? this.#chunk.write(id, this.#position, 16, 'base64url') : 0
    if (written !== 16) throw new TwinlogError('TWINLOG_INTERNAL', `"${id}" is not a topic id (base64url of 16 bytes)`)
    this.#position += 16
    return this
  }

  /** STRING or NULLABLE_STRING with a 16-bit length, as in request headers. */
  string(value: string | null): this {
    if (value === null) return this.int16(-1)
    const byteLength = Buffer.byteLength(value)
    this.int16(byteLength)
    return this.#utf8(value, byteLength)
  }

  /** COMPACT_STRING or COMPACT_NULLABLE_STRING. */
  compactString(value: string | null): this {
    if (value === null) return this.uvarint(0)
    const byteLength = Buffer.byteLength(value)
    this.uvarint(byteLength + 1)
    return this.#utf8(value, byteLength)
  }

  /** COMPACT_BYTES, COMPACT_NULLABLE_BYTES or COMPACT_RECORDS; not copied, so it must not change until it is sent. */
  compactBytes(value: Buffer | null): this {
    if (value === null) return this.uvarint(0)
    this.uvarint(value.length + 1)
    return this.reference(value)
  }

  /** Bytes without a length, by reference. */
  reference(value: Buffer): this {
    if (value.length === 0) return this
    this.#cut()
    this.#segments.push(value)
    this.#segmentBytes += value.length
    return this
  }

  compactArray<T>(items: readonly T[] | null, write: (item: T) => void): this {
    if (items === null) return this.uvarint(0)
    this.uvarint(items.length + 1)
    for (const item of items) write(item)
    return this
  }

  /** An empty tag section, which closes every structure of a flexible version. */
  tags(): this {
    return this.uvarint(0)
  }

  #utf8(value: string, byteLength: number): this {
    this.#reserve(byteLength)
    this.#position += this.#chunk.write(value, this.#position, byteLength, 'utf8')
    return this
  }

  #cut(): void {
    if (this.#position === this.#start) return
    this.#segments.push(this.#chunk.subarray(this.#start, this.#position))
    this.#segmentBytes += this.#position - this.#start
    this.#start = this.#position
  }

  #reserve(bytes: number): void {
    if (this.#chunk.length - this.#position >= bytes) return
    const open = this.#position - this.#start
    const chunk = Buffer.allocUnsafe(Math.max((open + bytes) * 2, this.#chunk.length * 2))
    this.#chunk.copy(chunk, 0, this.#start, this.#position)
    this.#chunk = chunk
    this.#start = 0
    this.#position = open
  }
}
