import type { MoveKind } from '../control/control-records.js'
import type { ProducerLedgerPart } from '../control/ledger-part.js'

/**
 * Records of one partition. Lost ones carry their offsets on the old cluster; sends in doubt have none, their keys say more.
 */
export interface LedgerRange {
  topic: string
  partition?: number
  /** First offset on the old cluster. */
  from?: bigint
  /** Offset behind the last one. */
  to?: bigint
  count: number
  instanceId: string
  /** Keys of sends in doubt (UTF-8), capped: `count` is the truth. */
  keys?: string[]
}

export interface Ledger {
  /** Acknowledged by the old cluster, not on the new one. */
  lost: LedgerRange[]
  /** Sent to the old cluster and never answered: it may have them or not. */
  inDoubt: LedgerRange[]
  /** What this ledger can't know. */
  note: string
}

export interface LedgerInput {
  kind: MoveKind
  from: string
  parts: { instance: string; ledger: ProducerLedgerPart }[]
  /** How far each lane got; `undefined`: the topic's partition has no lane, nothing of it is on the new cluster. */
  reached(topic: string, partition: number): bigint | undefined
  /** Instances that were expected to answer and did not. */
  missing: string[]
}

export function computeLedger(input: LedgerInput): Ledger {
  const lost: LedgerRange[] = []
  const inDoubt: LedgerRange[] = []
  for (const { instance, ledger } of input.parts) {
    const ranges = [...ledger.acknowledged].sort(
      (a, b) => a.topic.localeCompare(b.topic) || a.partition - b.partition || Number(a.from - b.from)
    )
    for (const range of ranges) {
      const reached = input.reached(range.topic, range.partition) ?? range.from
      const from = reached > range.from ? reached : range.from
      if (from >= range.to) continue
      addLost(lost, { topic: range.topic, partition: range.partition, from, to: range.to, instanceId: instance })
    }
    for (const sends of ledger.inDoubt) {
      inDoubt.push({
        topic: sends.topic,
        ...(sends.partition === undefined ? {} : { partition: sends.partition }),
        count: sends.count,
        instanceId: instance,
        keys: sends.keys
      })
    }
  }
  return { lost, inDoubt, note: noteFor(input) }
}

function addLost(
  lost: LedgerRange[],
  range: { topic: string; partition: number; from: bigint; to: bigint; instanceId: string }
): void {
  const last = lost.at(-1)
  const continues =
    last?.to === range.from &&
    last.topic === range.topic &&
    last.partition === range.partition &&
    last.instanceId === range.instanceId
  if (continues) {
    last.to = range.to
    last.count += Number(range.to - range.from)
  } else {
    lost.push({ ...range, count: Number(range.to - range.from) })
  }
}

function noteFor(input: LedgerInput): string {
  const sentences =
    input.kind === 'failover'
      ? [
          `"Lost" and "in doubt" cover what producers of this SDK sent: records that other programs wrote to ${input.from} are not in this ledger, whether they reached the new cluster or not.`,
          `Nobody knows the end of a cluster that doesn't answer: what ${input.from} really holds shows only when it is back.`
        ]
      : [
          `Everything that was committed on ${input.from} when the lanes were closed is on the new cluster. What programs outside this SDK write to ${input.from} from then on stays there and is not in this ledger.`
        ]
  if (input.missing.length > 0) {
    const names = input.missing.join(', ')
    sentences.push(
      input.missing.length === 1
        ? `Instance ${names} never answered: what it sent last, and how far it had handled what it read, is unknown.`
        : `Instances ${names} never answered: what they sent last, and how far they had handled what they read, is unknown.`
    )
  }
  return sentences.join(' ')
}

/** Sum over ranges, for one-line summaries. */
export function countOf(ranges: readonly LedgerRange[]): number {
  return ranges.reduce((sum, range) => sum + range.count, 0)
}
