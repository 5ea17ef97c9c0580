import { setTimeout as sleep } from 'node:timers/promises'
import { TwinlogError } from '../errors.js'
import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { addPartitionsToTxnRequest } from '../kafka/requests/add-partitions-to-txn.js'
import { endTxnRequest } from '../kafka/requests/end-txn.js'
import type { LaneEpoch } from '../lineage/sequence.js'
import type { TransactionCalls } from './lane-transaction.js'

const CONCURRENT_TRANSACTIONS = 51
/** The coordinator is moving or loading: 14, 15, 16. */
const COORDINATOR_AWAY = new Set([14, 15, 16])
const POLL_MS = 5
const LONGEST_POLL_MS = 100
const PATIENCE_MS = 20_000

/** A lane's transactions on the target's coordinator. Errors that a fence answers (47, 90) are thrown as they come. */
export function transactionCalls(
  target: ClusterClient,
  lane: { transactionalId: string; topic: string; partition: number }
): TransactionCalls {
  const { transactionalId, topic, partition } = lane
  const until = async (what: string, ask: () => Promise<number>): Promise<void> => {
    const deadline = performance.now() + PATIENCE_MS
    for (let pauseMs = POLL_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_POLL_MS)) {
      const code = await ask()
      if (code === 0) return
      if (COORDINATOR_AWAY.has(code)) target.forgetCoordinator({ transactionalId })
      else if (code !== CONCURRENT_TRANSACTIONS) throw failure(code, what)
      if (performance.now() > deadline) throw failure(code, what)
      await sleep(pauseMs)
    }
  }
  const failure = (code: number, what: string): TwinlogError => {
    const error = kafkaError(code, `${what} of ${transactionalId}`, { cluster: target.alias, topic, partition })
    // Whatever it was: the lane takes a new epoch and looks at what the target has.
    return error.retriable || error.code === 'TWINLOG_UNAUTHORIZED'
      ? error
      : new TwinlogError(error.code, error.message, {
          cluster: target.alias,
          topic,
          partition,
          kafkaCode: code,
          retriable: true
        })
  }
  const producer = (epoch: LaneEpoch) => ({ transactionalId, producerId: epoch.producerId, producerEpoch: epoch.epoch })
  const end = async (epoch: LaneEpoch): Promise<number> =>
    (await target.send({ transactionalId }, endTxnRequest({ ...producer(epoch), commit: true }))).errorCode
  return {
    begin: epoch =>
      until('AddPartitionsToTxn', async () => {
        const topics = [{ topic, partitions: [partition] }]
        const answer = await target.send({ transactionalId }, addPartitionsToTxnRequest({ ...producer(epoch), topics }))
        return answer.partitions.find(({ errorCode }) => errorCode !== 0)?.errorCode ?? 0
      }),
    // The first success means that it is decided, the second one that every marker is in the log and replicated.
    commit: async epoch => {
      await until('EndTxn', () => end(epoch))
      await until('EndTxn', () => end(epoch))
    }
  }
}
