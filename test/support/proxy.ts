import { createConnection, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Address } from './kafka-properties.js'
import { Pipe } from './proxy-pipe.js'

export interface Proxy extends AsyncDisposable {
  readonly host: string
  readonly port: number
  /** Client connections that are open now. */
  readonly connections: number
  /** Bytes carried since the start, both directions. */
  readonly bytes: number
  /** Delay of each direction (so a round trip takes twice that). Order is kept. */
  setLatency(latencyMs: number): void
  /** Bandwidth of each direction of each connection; null = no limit. */
  setThrottle(bytesPerSecond: number | null): void
  /** After exactly `n` more bytes towards the target (over all connections) every client sees a reset. The bytes do arrive. Once. */
  cutAfterBytes(n: number): void
  /** Ends every connection in good order (FIN to both sides). New ones are accepted. */
  cut(): void
  /** Breaks every connection (RST to both sides). New ones are accepted. */
  reset(): void
  /** While on: connections are accepted, bytes are swallowed, nothing ever answers. Connections that met it stay dead afterwards. */
  halfOpen(on: boolean): void
  /** Bytes wait, both ways, until resume(); nothing is lost. */
  pause(): void
  resume(): void
  close(): Promise<void>
}

/** A TCP proxy on a free loopback port that can misbehave. */
export async function startProxy(options: { target: Address }): Promise<Proxy> {
  const pairs = new Set<Pair>()
  const state: ProxyState = {
    latencyMs: 0,
    bytesPerSecond: null,
    paused: false,
    halfOpen: false,
    cutAfter: null,
    bytes: 0
  }
  const onCut = (): void => {
    for (const pair of [...pairs]) pair.resetClient()
  }
  // allowHalfOpen: the FIN of one side is passed on behind its bytes, not turned into an end of both.
  const server = createServer({ allowHalfOpen: true, noDelay: true }, client => {
    const pair = new Pair(client, options.target, state, onCut, () => pairs.delete(pair))
    pairs.add(pair)
  })
  await listen(server)
  const { port } = server.address() as AddressInfo
  const each = (action: (pair: Pair) => void): void => {
    for (const pair of [...pairs]) action(pair)
  }
  const close = async (): Promise<void> => {
    each(pair => pair.reset())
    await new Promise<void>(resolve => server.close(() => resolve()))
  }
  return {
    host: '127.0.0.1',
    port,
    get connections() {
      return pairs.size
    },
    get bytes() {
      return state.bytes
    },
    setLatency: latencyMs => {
      state.latencyMs = latencyMs
    },
    setThrottle: bytesPerSecond => {
      state.bytesPerSecond = bytesPerSecond
      each(pair => pair.wake())
    },
    cutAfterBytes: n => {
      state.cutAfter = n
    },
    cut: () => each(pair => pair.end()),
    reset: () => each(pair => pair.reset()),
    halfOpen: on => {
      state.halfOpen = on
      if (on) each(pair => pair.swallow())
    },
    pause: () => {
      state.paused = true
    },
    resume: () => {
      state.paused = false
      each(pair => pair.wake())
    },
    close,
    [Symbol.asyncDispose]: close
  }
}

export interface ProxyState {
  latencyMs: number
  bytesPerSecond: number | null
  paused: boolean
  halfOpen: boolean
  cutAfter: number | null
  bytes: number
}

class Pair {
  readonly #client: Socket
  readonly #target: Socket
  readonly #pipes: Pipe[]
  #swallowing = false

  constructor(client: Socket, address: Address, state: ProxyState, onCut: () => void, onGone: () => void) {
    this.#client = client
    this.#target = createConnection({ ...address, noDelay: true, allowHalfOpen: true })
    this.#pipes = [
      new Pipe(client, this.#target, state, length => {
        if (state.cutAfter === null) return
        state.cutAfter -= length
        if (state.cutAfter > 0) return
        state.cutAfter = null
        onCut()
      }),
      new Pipe(this.#target, client, state)
    ]
    client.on('error', () => this.reset())
    this.#target.on('error', () => {
      // A half-open link hides what happens behind it.
      if (!this.#swallowing) this.reset()
    })
    client.once('close', () => {
      if (this.#target.writableEnded) setTimeout(() => this.#target.destroy(), 50).unref()
      else this.#target.destroy()
      for (const pipe of this.#pipes) pipe.stop()
      onGone()
    })
    this.#target.once('close', () => {
      if (!this.#swallowing && !client.writableEnded && !this.#pipes[1]?.busy) client.end()
    })
    if (state.halfOpen) this.swallow()
  }

  wake(): void {
    for (const pipe of this.#pipes) pipe.wake()
  }

  end(): void {
    for (const pipe of this.#pipes) pipe.stop()
    this.#client.end()
    this.#target.end()
    // The other side may keep its half open; we do not.
    this.#client.resume()
    this.#target.resume()
    const client = this.#client
    setTimeout(() => client.destroy(), 50).unref()
  }

  reset(): void {
    this.#client.resetAndDestroy()
    // A socket that is still connecting cannot be reset.
    if (this.#target.connecting) this.#target.destroy()
    else this.#target.resetAndDestroy()
  }

  /** The target gets what was sent and a FIN (a reset might overtake the bytes), the client a reset. */
  resetClient(): void {
    for (const pipe of this.#pipes) pipe.stop()
    this.#target.end()
    this.#client.resetAndDestroy()
  }

  swallow(): void {
    this.#swallowing = true
    for (const pipe of this.#pipes) pipe.swallow()
  }
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', () => resolve())
  })
}
