import { TwinlogError } from '../errors.js'
import { Writer } from './protocol/writer.js'
import type { ApiRequest } from './types.js'

// Far above any response we ask for, and below what the first bytes of TLS or HTTP read as a length would be.
const MAX_FRAME_BYTES = 256 * 1024 * 1024

/** Cuts the byte stream into frames. Each frame is one allocation of its own, so that views of it may be kept. */
export class FrameAssembler {
  readonly #onFrame: (frame: Buffer) => void
  readonly #lengthBytes = Buffer.alloc(4)
  #lengthFilled = 0
  #frame: Buffer | undefined
  #filled = 0

  constructor(onFrame: (frame: Buffer) => void) {
    this.#onFrame = onFrame
  }

  push(chunk: Buffer): void {
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

  #begin(length: number): void {
    if (length < 4 || length > MAX_FRAME_BYTES) {
      throw new TwinlogError(
        'TWINLOG_PROTOCOL',
        `the peer sent a frame of ${length} bytes: this is not a Kafka listener of the expected kind (does the port speak TLS?)`
      )
    }
    this.#lengthFilled = 0
    this.#filled = 0
    this.#frame = Buffer.allocUnsafeSlow(length)
  }

  #complete(frame: Buffer): void {
    this.#frame = undefined
    this.#onFrame(frame)
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
