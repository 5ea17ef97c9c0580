type Listener = (event: never) => void

interface EventSource {
  on(name: never, listener: never): () => void
}

/** Listeners that outlive the kafkajs object they listen to: attached again to the one that follows after a move. */
export class EventListeners {
  readonly #names: ReadonlySet<string>
  readonly #listeners = new Map<symbol, { name: string; listener: Listener; detach: (() => void) | undefined }>()
  #source: EventSource | undefined
  #accepts: (name: string) => boolean = () => true

  constructor(names: Iterable<string>) {
    this.#names = new Set(names)
  }

  has(name: string): boolean {
    return this.#names.has(name)
  }

  add(name: string, listener: Listener): () => void {
    const id = Symbol(name)
    this.#listeners.set(id, { name, listener, detach: this.#attach(name, listener) })
    return () => {
      this.#listeners.get(id)?.detach?.()
      this.#listeners.delete(id)
    }
  }

  /**
   * The old source keeps its listeners, so that its last events (stop, disconnect) still reach the user. `accepts` is
   * asked when an event comes: a crash is no news when the cluster was left on purpose.
   */
  follow(source: EventSource, accepts: (name: string) => boolean = () => true): void {
    this.#source = source
    this.#accepts = accepts
    for (const entry of this.#listeners.values()) entry.detach = this.#attach(entry.name, entry.listener)
  }

  #attach(name: string, listener: Listener): (() => void) | undefined {
    const accepts = this.#accepts
    const filtered: Listener = event => {
      if (accepts(name)) return listener(event)
    }
    return this.#source?.on(name as never, filtered as never)
  }
}
