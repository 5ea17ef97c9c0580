import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Broker } from './kafka.js'
import type { Oracle, OracleCluster } from './oracle.js'
import { segmentFiles } from './segments.js'

/** Compaction is off (a dirty ratio above 1 does not exist) until compact() asks for it. A segment a batch: the active one is never cleaned. */
export const COMPACTED = {
  'cleanup.policy': 'compact',
  'segment.ms': '1',
  'min.compaction.lag.ms': '0',
  'min.cleanable.dirty.ratio': '1'
}

/** The broker property that makes the cleaner look often enough. */
export const EAGER_CLEANER = { 'log.cleaner.backoff.ms': 200 }

const CLEANED_WITHIN_MS = 60_000

export interface CompactOptions {
  cluster: OracleCluster
  /** That leads the partition. */
  broker: Broker
  oracle: Oracle
  topic: string
  partition?: number | undefined
}

/**
 * Lets the log cleaner run over everything but the active segment, once, and stops it again: from then on readers see the same. Throws when
 * the cleaner does not say that it was there. The topic has COMPACTED's configs, the broker EAGER_CLEANER's property.
 */
export async function compact(o: CompactOptions): Promise<void> {
  const { cluster, broker, oracle, topic, partition = 0 } = o
  const ratio = (value: string) =>
    oracle.alterConfigs({ cluster, topic, configs: { 'min.cleanable.dirty.ratio': value } })
  const active = segmentFiles(broker, topic, partition).at(-1)
  const activeBase = BigInt(/(\d+)\.log$/.exec(active ?? '')?.[1] ?? '0')
  await ratio('0.01')
  const deadline = Date.now() + CLEANED_WITHIN_MS
  for (let at = -1n; at < activeBase; at = cleanedUpTo(broker, topic, partition)) {
    if (Date.now() > deadline)
      throw new Error(
        `the cleaner came to ${at} of ${activeBase} in ${topic}-${partition} within ${CLEANED_WITHIN_MS} ms`
      )
    await sleep(50)
  }
  await ratio('1')
}

/** The cleaner writes down where the dirty part of each log begins. */
function cleanedUpTo(broker: Broker, topic: string, partition: number): bigint {
  const file = join(broker.dataDirectory, 'cleaner-offset-checkpoint')
  if (!existsSync(file)) return -1n
  const line = readFileSync(file, 'utf8')
    .split('\n')
    .find(each => each.startsWith(`${topic} ${partition} `))
  return BigInt(line?.split(' ')[2] ?? '-1')
}
