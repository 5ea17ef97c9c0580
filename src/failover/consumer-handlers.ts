import type { Batch, EachBatchPayload, EachMessagePayload, KafkaMessage } from 'kafkajs'
import { TwinlogError } from '../errors.js'
import type { FetchTag, HandledPositions } from './handled-positions.js'
import type { ClusterHandle } from './participants.js'

/** A kafkajs message that says where it was read and where it was first written. */
export type FailoverMessage = KafkaMessage & { cluster: string; origin: string }

export type FailoverEachMessagePayload = Omit<EachMessagePayload, 'message'> & { message: FailoverMessage }
export type FailoverBatch = Omit<Batch, 'messages'> & { messages: FailoverMessage[] }
export type FailoverEachBatchPayload = Omit<EachBatchPayload, 'batch'> & { batch: FailoverBatch }
export type FailoverEachMessage = (payload: FailoverEachMessagePayload) => Promise<void>
export type FailoverEachBatch = (payload: FailoverEachBatchPayload) => Promise<void>

interface HandlerContext {
  readonly cluster: ClusterHandle
  readonly positions: HandledPositions
  readonly gate: HandlerGate
  tagOf(message: object): FetchTag | undefined
}

/** Counts running handlers and keeps new ones out while a rejoin drains or a move is under way. */
export class HandlerGate {
  #state: 'open' | 'rejoining' | 'closed' = 'open'
  #running = 0
  #idle: (() => void)[] = []
  readonly #closing: Promise<void>
  #announceClosing: () => void = () => undefined

  constructor() {
    this.#closing = new Promise(resolve => {
      this.#announceClosing = resolve
    })
  }

  get running(): number {
    return this.#running
  }

  get closed(): boolean {
    return this.#state === 'closed'
  }

  /** For a rejoin; does not open a gate that was closed for good. */
  set(state: 'open' | 'rejoining'): void {
    if (this.#state !== 'closed') this.#state = state
  }

  close(): void {
    this.#state = 'closed'
    this.#announceClosing()
  }

  enter(topic: string, partition: number): void {
    if (this.#state !== 'open') throw notNow(topic, partition, this.#state)
    this.#running++
  }

  leave(): void {
    this.#running--
    if (this.#running > 0) return
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  /** True when no handler runs any more, false when the time is over first. */
  async drained(timeoutMs: number): Promise<boolean> {
    if (this.#running === 0) return true
    let timer: NodeJS.Timeout | undefined
    const idle = new Promise<boolean>(resolve => this.#idle.push(() => resolve(true)))
    const late = new Promise<boolean>(resolve => {
      timer = setTimeout(() => resolve(false), timeoutMs)
    })
    return Promise.race([idle, late]).finally(() => clearTimeout(timer))
  }

  /** A heartbeat to a cluster that is being left must not hold the handler up, least of all when it is frozen. */
  unlessClosing(heartbeat: () => Promise<void>): Promise<void> {
    if (this.closed) return Promise.resolve()
    return Promise.race([heartbeat(), this.#closing])
  }
}

// Retriable, so that kafkajs's runner goes round again instead of crashing.
function notNow(topic: string, partition: number, why: string): TwinlogError {
  const message = `${topic}-${partition}: not handed to the handler, the consumer is ${why}; it will be read again`
  return new TwinlogError('TWINLOG_ABORTED', message, { topic, partition, retriable: true })
}

export function guardEachMessage(handler: FailoverEachMessage, context: HandlerContext) {
  const { positions, gate, cluster } = context
  return async (payload: EachMessagePayload): Promise<void> => {
    const { topic, partition } = payload
    const tag = admit(context, topic, partition, payload.message)
    const offset = BigInt(payload.message.offset)
    if (positions.isHandled(topic, partition, offset, tag)) return
    gate.enter(topic, partition)
    try {
      const message = describe(payload.message, cluster)
      await handler({ ...payload, message, heartbeat: () => gate.unlessClosing(() => payload.heartbeat()) })
      positions.handled(topic, partition, offset + 1n, tag)
    } finally {
      gate.leave()
    }
    // The partition may have gone to another member meanwhile; kafkajs must not take the offset over.
    if (!positions.isCurrent(tag)) throw notNow(topic, partition, 'no longer in the generation it was read in')
  }
}

export function guardEachBatch(handler: FailoverEachBatch, autoResolve: boolean, context: HandlerContext) {
  const { positions, gate, cluster } = context
  return async (payload: EachBatchPayload): Promise<void> => {
    const { batch } = payload
    const { topic, partition } = batch
    const first = batch.messages[0]
    if (first === undefined) return
    const tag = admit(context, topic, partition, first)
    batch.messages = batch.messages.filter(m => !positions.isHandled(topic, partition, BigInt(m.offset), tag))
    const last = batch.messages.at(-1)
    if (last === undefined) return
    let toldToStop = false
    gate.enter(topic, partition)
    try {
      for (const message of batch.messages) describe(message, cluster)
      await handler({
        ...payload,
        batch: batch as unknown as FailoverBatch,
        heartbeat: () => gate.unlessClosing(() => payload.heartbeat()),
        isRunning: () => {
          const running = payload.isRunning() && !gate.closed && positions.isCurrent(tag)
          toldToStop ||= !running
          return running
        },
        resolveOffset: offset => {
          if (!positions.isCurrent(tag)) return
          payload.resolveOffset(offset)
          // As kafkajs does: the end of the batch takes control records behind the last message with it.
          const resolved = offset === last.offset ? batch.lastOffset() : offset
          positions.handled(topic, partition, BigInt(resolved) + 1n, tag)
        }
      })
      // A handler that asked isRunning() and broke off has not handled the rest of its batch: kafkajs would take the whole
      // batch for handled, and its records would be lost over the move.
      if (autoResolve && !toldToStop) positions.handled(topic, partition, BigInt(batch.lastOffset()) + 1n, tag)
    } finally {
      gate.leave()
    }
    if (toldToStop) throw notNow(topic, partition, 'stopping')
    if (!positions.isCurrent(tag)) throw notNow(topic, partition, 'no longer in the generation it was read in')
  }
}

function admit(context: HandlerContext, topic: string, partition: number, message: object): FetchTag {
  const tag = context.tagOf(message)
  if (tag === undefined || !context.positions.isCurrent(tag)) throw notNow(topic, partition, 'rejoining its group')
  return tag
}

function describe(message: KafkaMessage, cluster: ClusterHandle): FailoverMessage {
  const { batchContext } = message as { batchContext?: { producerId?: string } }
  const producerId = batchContext?.producerId
  const origin = producerId === undefined || producerId === '-1' ? undefined : cluster.originOf(producerId)
  return Object.assign(message, { cluster: cluster.alias, origin: origin ?? cluster.alias })
}
