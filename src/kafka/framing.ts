import { TwinlogError } from '../errors.js'
import type { FramePool } from './frame-pool.js'
import { Writer } from './protocol/writer.js'
import type { Inlet } from './socket.js'
import type { ApiRequest } from './types.js'

// Far above any response we ask for, and below what the first bytes of TLS or HTTP read as a length would be.
const MAX_FRAME_BYTES = 256 * 1024 * 1024

// What lies between two large frames: lengths, and small frames whole.
const SCRATCH_BYTES = 64 * 1024

export interface FrameReceiver {
  frame(frame: Buffer): void
  /** What came is not Kafka's protocol, or a frame could not be handled. */
  broken(error: Error): void
}

/**
 * Cuts the byte stream into frames. Each frame has memory of its own, so that views of it may be kept. A socket that can
 * read into memory of our choice asks for `space()` and reports with `received()`: large frames are then never copied.
 */
export class FrameAssembler implements Inlet {
  readonly #pool: FramePool | undefined
  #receiver: FrameReceiver | undefined
  readonly #lengthBytes = Buffer.alloc(4)
  #scratch: Buffer | undefined
  #offered: Buffer | undefined
  #lengthFilled = 0
  #frame: Buffer | undefined
  #filled = 0

  constructor(pool?: FramePool) {
    this.#pool = pool
  }

  /** Brokers never speak first, so nothing can be there before the receiver is. */
  deliver(receiver: FrameReceiver): void {
    this.#receiver = receiver
  }

  push(chunk: Buffer): void {
    try {
      this.#push(chunk)
    } catch (error) {
      this.#receiver?.broken(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #push(chunk: Buffer): void {
    let position = 0
    while (position < chunk.length) {
      if (this.#frame === undefined) {
        const taken = chunk.copy(this.#lengthBytes, this.#lengthFilled, position)
        this.#lengthFilled += taken
        position += taken
        if (this.#lengthFilled < 4) return
        this.#begin(this.#lengthBytes.readInt32BE(0))
      } else {
        const taken = chunk.copy(this.#frame, this.#filled, position)
        this.#filled += taken
        position += taken
        if (this.#filled === this.#frame.length) this.#complete(this.#frame)
      }
    }
  }

  /** Where the socket shall put its next bytes. */
  space(): Buffer {
    this.#scratch ??= Buffer.allocUnsafeSlow(SCRATCH_BYTES)
    const frame = this.#frame
    // The rest of a small frame comes with what follows it: one read instead of two.
    const direct = frame !== undefined && frame.length - this.#filled > SCRATCH_BYTES
    this.#offered = direct ? frame.subarray(this.#filled) : this.#scratch
    return this.#offered
  }

  /** So many bytes were put into what `space()` gave last. */
  received(bytes: number): void {
    const offered = this.#offered
    if (offered === undefined) return
    if (offered === this.#scratch) {
      this.push(offered.subarray(0, bytes))
      return
    }
    this.#filled += bytes
    if (this.#frame === undefined || this.#filled < this.#frame.length) return
    try {
      this.#complete(this.#frame)
    } catch (error) {
      this.#receiver?.broken(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #begin(length: number): void {
    if (length < 4 || length > MAX_FRAME_BYTES) {
      throw new TwinlogError(
        'TWINLOG_PROTOCOL',
        `the peer sent a frame of ${length} bytes: this is not a Kafka listener of the expected kind (does the port speak TLS?)`
      )
    }
    this.#lengthFilled = 0
    this.#filled = 0
    this.#frame = this.#pool?.take(length) ?? Buffer.allocUnsafeSlow(length)
  }

  #complete(frame: Buffer): void {
    this.#frame = undefined
    this.#receiver?.frame(frame)
  }
}

/*
Frame => length INT32, header, body
Request header v1 => request_api_key INT16, request_api_version INT16, correlation_id INT32, client_id STRING; v2 (flexible): tags
*/
export function encodeFrame(
  request: ApiRequest<unknown>,
  version: number,
  correlationId: number,
  clientId: string
): Buffer[] {
  const writer = new Writer()
  writer.int32(0).int16(request.apiKey).int16(version).int32(correlationId).string(clientId)
  if (version >= request.flexibleFrom) writer.tags()
  request.encode(writer, version)
  const length = writer.length - 4
  const segments = writer.finish()
  segments[0]?.writeInt32BE(length, 0)
  return segments
}
