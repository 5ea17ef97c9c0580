import type { Logger } from '../logger.js'
import type { ClusterHandle, ConsumerParticipant, ProducerParticipant } from './participants.js'

/** What a consumer, producer or schema registry needs of the FailoverClient that handed it out. */
export interface ClientHandle {
  readonly logger: Logger
  /**
   * The cluster in use. Rejects when there is none (the client is not connected). During a move it waits for the end of
   * the move, so that a `connect()` in the middle of it lands on the right cluster.
   */
  cluster(): Promise<ClusterHandle>
  /** The cluster in use right now, `undefined` before the client is connected. */
  current(): ClusterHandle | undefined
  /** Called on the first connect of a consumer or producer; the returned function takes it out again. */
  join(participant: { consumer: ConsumerParticipant } | { producer: ProducerParticipant }): () => void
}
