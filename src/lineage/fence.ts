import { setTimeout as sleep } from 'node:timers/promises'
import type { ClusterClient } from '../kafka/cluster.js'
import { kafkaError } from '../kafka/protocol-errors.js'
import { addPartitionsToTxnRequest } from '../kafka/requests/add-partitions-to-txn.js'
import { describeProducersRequest } from '../kafka/requests/describe-producers.js'
import { endTxnRequest } from '../kafka/requests/end-txn.js'
import { initProducerIdRequest } from '../kafka/requests/init-producer-id.js'
import { TwinlogError, toTwinlogError } from '../errors.js'
import type { Logger } from '../logger.js'

export interface FencePartition {
  topic: string
  partition: number
}

export interface FenceResult {
  producerId: bigint
  epoch: number
}

const UNKNOWN_SERVER_ERROR = -1
const CONCURRENT_TRANSACTIONS = 51
const TRANSACTION_TIMEOUT_MS = 60_000
const FENCE_TIMEOUT_MS = 60_000
const MARKER_POLL_MS = 10
const MARKER_WAIT_MS = 5_000

const OPERATION_NOT_ATTEMPTED = 55
const TOPIC_AUTHORIZATION_FAILED = 29
const TRANSACTIONAL_ID_AUTHORIZATION_FAILED = 53

/** The id whose producer id all lanes of the link share. */
export const linkTransactionalId = (link: string) => `twinlog.${link}`

/** The id of one lane that needs a producer id of its own: for transactions, or because it shares its target partition. */
export const laneTransactionalId = (link: string, laneKey: string) => `twinlog.${link}.${laneKey}`

export async function initLinkProducer(cluster: ClusterClient, link: string): Promise<FenceResult> {
  return initProducer(cluster, linkTransactionalId(link))
}

/** Takes a transactional id: the producer id stays the same, the epoch goes up by one, an open transaction is aborted. */
export async function initProducer(
  cluster: ClusterClient,
  transactionalId: string,
  o: { transactionTimeoutMs?: number | undefined } = {}
): Promise<FenceResult> {
  const { transactionTimeoutMs = TRANSACTION_TIMEOUT_MS } = o
  const deadline = Date.now() + FENCE_TIMEOUT_MS
  for (;;) {
    try {
      const request = initProducerIdRequest({ transactionalId, transactionTimeoutMs })
      const answer = await cluster.send({ transactionalId }, request)
      if (answer.errorCode === 0) return { producerId: answer.producerId, epoch: answer.producerEpoch }
      throw refusal(cluster, answer.errorCode, 'InitProducerId', transactionalId)
    } catch (error) {
      await backOff(error, deadline, cluster, transactionalId)
    }
  }
}

/**
 * Puts a control marker of a new epoch into every partition, so that whatever still writes there under an older epoch gets
 * error 47: an empty transaction of the transactional id that wrote there, then DescribeProducers until exactly this epoch shows,
 * because EndTxn answers before the marker is in the log (`facts.md` M4). Anything unexpected: once more, with a higher epoch.
 * A fence with an id that never wrote to a partition fences nothing there: lanes that may have used several are fenced with each.
 */
export async function fencePartitions(o: {
  cluster: ClusterClient
  transactionalId: string
  partitions: FencePartition[]
  logger: Logger
  signal?: AbortSignal | undefined
}): Promise<FenceResult> {
  const { transactionalId } = o
  const deadline = Date.now() + FENCE_TIMEOUT_MS
  for (;;) {
    o.signal?.throwIfAborted()
    const identity = await initProducer(o.cluster, transactionalId)
    if (o.partitions.length === 0) return identity
    try {
      await emptyTransaction(o.cluster, transactionalId, identity, o.partitions)
      await markersShow(o.cluster, identity, o.partitions)
      await endTransaction(o.cluster, transactionalId, identity)
      return identity
    } catch (error) {
      o.logger.info({ error, epoch: identity.epoch, transactionalId }, 'fence not complete, taking the next epoch')
      await backOff(error, deadline, o.cluster, transactionalId)
    }
  }
}

async function emptyTransaction(
  cluster: ClusterClient,
  transactionalId: string,
  identity: FenceResult,
  partitions: FencePartition[]
): Promise<void> {
  const producer = { transactionalId, producerId: identity.producerId, producerEpoch: identity.epoch }
  const topics = byTopic(partitions)
  for (;;) {
    const answer = await cluster.send({ transactionalId }, addPartitionsToTxnRequest({ ...producer, topics }))
    // One partition that is refused keeps all others from being tried: theirs is not the error to tell.
    const refused = answer.partitions.filter(partition => partition.errorCode !== 0)
    const failed = refused.find(partition => partition.errorCode !== OPERATION_NOT_ATTEMPTED) ?? refused[0]
    if (!failed) break
    // The previous transaction's markers are still being written: the same epoch may ask again.
    if (failed.errorCode !== CONCURRENT_TRANSACTIONS)
      throw refusal(cluster, failed.errorCode, 'AddPartitionsToTxn', transactionalId, failed)
    await sleep(MARKER_POLL_MS)
  }
  await endTransaction(cluster, transactionalId, identity)
}

/**
 * The first success means that the commit is decided. A second one means that it is complete: every marker is replicated to the
 * in-sync replicas and below the high watermark, and so is everything that stood before it.
 */
async function endTransaction(cluster: ClusterClient, transactionalId: string, identity: FenceResult): Promise<void> {
  const producer = { transactionalId, producerId: identity.producerId, producerEpoch: identity.epoch }
  for (;;) {
    const answer = await cluster.send({ transactionalId }, endTxnRequest({ ...producer, commit: true }))
    if (answer.errorCode === 0) return
    if (answer.errorCode !== CONCURRENT_TRANSACTIONS)
      throw refusal(cluster, answer.errorCode, 'EndTxn', transactionalId)
    await sleep(MARKER_POLL_MS)
  }
}

async function markersShow(cluster: ClusterClient, identity: FenceResult, partitions: FencePartition[]): Promise<void> {
  const deadline = Date.now() + MARKER_WAIT_MS
  let open = partitions
  for (;;) {
    const shown = await producerEpochs(cluster, identity.producerId, open)
    for (const [name, epoch] of shown) {
      if (epoch > identity.epoch) {
        throw new TwinlogError(
          'TWINLOG_FENCED',
          `${name} already shows epoch ${epoch}, this fence has ${identity.epoch}`,
          { retriable: true }
        )
      }
    }
    open = open.filter(partition => shown.get(nameOf(partition)) !== identity.epoch)
    if (open.length === 0) return
    if (Date.now() > deadline) {
      throw new TwinlogError(
        'TWINLOG_TIMEOUT',
        `the marker of epoch ${identity.epoch} does not show in ${open.map(nameOf).join(', ')}`,
        {
          retriable: true,
          cluster: cluster.alias
        }
      )
    }
    await sleep(MARKER_POLL_MS)
  }
}

/** Epoch of this producer id on each partition's leader; absent where the leader does not know the id. */
async function producerEpochs(
  cluster: ClusterClient,
  producerId: bigint,
  partitions: FencePartition[]
): Promise<Map<string, number>> {
  const metadata = await cluster.metadata({ topics: [...new Set(partitions.map(partition => partition.topic))] })
  const byLeader = new Map<number, FencePartition[]>()
  for (const partition of partitions) {
    const leader =
      metadata.topics.get(partition.topic)?.partitions.find(known => known.partition === partition.partition)?.leader ??
      -1
    if (leader < 0) continue
    byLeader.set(leader, [...(byLeader.get(leader) ?? []), partition])
  }
  const epochs = new Map<string, number>()
  const answers = await Promise.all(
    [...byLeader].map(([node, ofLeader]) =>
      cluster.send({ node }, describeProducersRequest({ topics: byTopic(ofLeader) }))
    )
  )
  for (const answer of answers) {
    for (const partition of answer.partitions) {
      if (partition.errorCode === TOPIC_AUTHORIZATION_FAILED) {
        const { topic, partition: number } = partition
        throw kafkaError(partition.errorCode, `DescribeProducers of ${nameOf(partition)} (needs READ on the topic)`, {
          cluster: cluster.alias,
          topic,
          partition: number
        })
      }
      const producer = partition.producers.find(known => known.producerId === producerId)
      if (partition.errorCode === 0 && producer) epochs.set(nameOf(partition), producer.producerEpoch)
    }
  }
  return epochs
}

async function backOff(
  error: unknown,
  deadline: number,
  cluster: ClusterClient,
  transactionalId: string
): Promise<void> {
  const known = toTwinlogError(error, 'TWINLOG_INTERNAL', `fencing with ${transactionalId}`)
  if ((!known.retriable && !RESTARTED_BY.has(known.kafkaCode ?? 0)) || Date.now() > deadline) throw known
  cluster.forgetCoordinator({ transactionalId })
  await sleep(20 + Math.random() * 180)
}

/**
 * Another fence came in between (invalid epoch, producer fenced, concurrent transactions), or the coordinator has lost its thread: a
 * loaded broker answers EndTxn with UNKNOWN_SERVER_ERROR now and then. The answer is the next epoch.
 */
const RESTARTED_BY = new Set([UNKNOWN_SERVER_ERROR, 47, CONCURRENT_TRANSACTIONS, 90])

/** What a missing right means here is nothing that trying again would change, so it says what to grant. */
function refusal(
  cluster: ClusterClient,
  code: number,
  action: string,
  transactionalId: string,
  place?: FencePartition
): TwinlogError {
  const where = place ? ` for ${nameOf(place)}` : ''
  const needs =
    code === TRANSACTIONAL_ID_AUTHORIZATION_FAILED
      ? ' (needs WRITE and DESCRIBE on this transactional id; grant them by prefix, lanes may have ids of their own)'
      : code === TOPIC_AUTHORIZATION_FAILED
        ? ' (needs WRITE on the topic)'
        : ''
  return kafkaError(code, `${action} of ${transactionalId}${where}${needs}`, {
    cluster: cluster.alias,
    topic: place?.topic,
    partition: place?.partition
  })
}

function byTopic(partitions: FencePartition[]): { topic: string; partitions: number[] }[] {
  const topics = new Map<string, number[]>()
  for (const { topic, partition } of partitions) topics.set(topic, [...(topics.get(topic) ?? []), partition])
  return [...topics].map(([topic, numbers]) => ({ topic, partitions: numbers }))
}

const nameOf = (partition: FencePartition) => `${partition.topic}-${partition.partition}`
