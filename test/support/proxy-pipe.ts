import type { Socket } from 'node:net'
import type { ProxyState } from './proxy.js'

/** So much may wait inside one direction before the sender is stopped; latency needs room for what is in flight. */
const maxWaitingBytes = 8 * 1024 * 1024

interface Chunk {
  data: Buffer | null
  due: number
}

/** One direction of a proxied connection: a queue in which every chunk has the time at which it may go on. */
export class Pipe {
  readonly #from: Socket
  readonly #to: Socket
  readonly #state: ProxyState
  /** Only the direction towards the target counts for cutAfterBytes(). */
  readonly #onBytes: ((length: number) => void) | undefined
  readonly #queue: Chunk[] = []
  #waiting = 0
  #freeAt = 0
  #timer: NodeJS.Timeout | undefined
  #blocked = false
  #dead = false

  constructor(from: Socket, to: Socket, state: ProxyState, onBytes?: (length: number) => void) {
    this.#from = from
    this.#to = to
    this.#state = state
    this.#onBytes = onBytes
    from.on('data', (data: Buffer) => this.#take(data))
    from.on('end', () => this.#take(null))
  }

  get busy(): boolean {
    return this.#queue.length > 0
  }

  wake(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#pump()
  }

  stop(): void {
    this.#dead = true
    this.#queue.length = 0
    clearTimeout(this.#timer)
  }

  /** From now on everything that comes is read and forgotten. */
  swallow(): void {
    this.stop()
    this.#from.resume()
  }

  #take(data: Buffer | null): void {
    if (this.#dead) return
    this.#queue.push({ data, due: performance.now() + this.#state.latencyMs })
    this.#waiting += data?.length ?? 0
    if (this.#waiting >= maxWaitingBytes) this.#from.pause()
    this.#pump()
  }

  #pump(): void {
    if (this.#timer !== undefined || this.#blocked || this.#dead) return
    while (this.#queue[0] !== undefined && !this.#state.paused) {
      const chunk = this.#queue[0]
      const waitMs = Math.max(chunk.due, this.#freeAt) - performance.now()
      // Timers are exact to a millisecond; less is not worth one.
      if (waitMs > 0.5) {
        this.#timer = setTimeout(() => this.wake(), Math.ceil(waitMs))
        return
      }
      this.#queue.shift()
      if (chunk.data === null) {
        this.#to.end()
        continue
      }
      if (!this.#forward(this.#throttled(this.#limited(chunk.data)))) return
    }
  }

  /** Not one byte more than cutAfterBytes() said. */
  #limited(data: Buffer): Buffer {
    const left = this.#onBytes !== undefined ? this.#state.cutAfter : null
    return left === null ? data : data.subarray(0, Math.max(1, left))
  }

  /** Cuts off what the bandwidth allows for 20 ms; the rest goes back to the head of the queue. */
  #throttled(data: Buffer): Buffer {
    const rate = this.#state.bytesPerSecond
    if (rate === null) return data
    const part = data.subarray(0, Math.max(1, Math.floor(rate / 50)))
    if (part.length < data.length) this.#queue.unshift({ data: data.subarray(part.length), due: 0 })
    this.#freeAt = Math.max(this.#freeAt, performance.now()) + (part.length * 1000) / rate
    return part
  }

  #forward(data: Buffer): boolean {
    this.#waiting -= data.length
    this.#state.bytes += data.length
    const open = this.#to.write(data)
    if (this.#waiting < maxWaitingBytes && this.#from.isPaused()) this.#from.resume()
    this.#onBytes?.(data.length)
    if (this.#dead) return false
    if (!open) {
      this.#blocked = true
      this.#to.once('drain', () => {
        this.#blocked = false
        this.#pump()
      })
    }
    return open
  }
}
