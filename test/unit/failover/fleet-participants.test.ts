import { beforeEach, describe, expect, it } from 'vitest'
import type { ProducerLedgerPart } from '../../../src/control/ledger-part.js'
import { LocalParticipants } from '../../../src/failover/fleet-participants.js'
import type { ClusterHandle, ProducerParticipant } from '../../../src/failover/participants.js'
import type { Logger } from '../../../src/logger.js'

const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} }
const never = new AbortController().signal
const cluster = (alias: string): ClusterHandle => ({
  alias,
  epoch: 1,
  config: { alias, brokers: ['localhost:1'] },
  originOf: () => undefined
})

function producer(part: ProducerLedgerPart, resume: () => Promise<void> = () => Promise.resolve()) {
  const participant: ProducerParticipant = {
    topics: ['t'],
    hold: () => undefined,
    quiesce: () => Promise.resolve(),
    ledgerPart: () => part,
    replicatedTo: () => undefined,
    resume
  }
  return { producer: participant }
}

const part: ProducerLedgerPart = {
  acknowledged: [{ topic: 't', partition: 0, from: 5n, to: 9n }],
  inDoubt: [{ topic: 'u', partition: 1, count: 2, keys: ['k'] }]
}
const empty: ProducerLedgerPart = { acknowledged: [], inDoubt: [] }

describe('the ledger of producers that have disconnected', () => {
  let local: LocalParticipants
  const east = cluster('east')

  beforeEach(() => {
    local = new LocalParticipants({ logger: SILENT, onError: () => undefined })
    local.begin(east)
  })

  it('stays in the answer, and their topics move with the service', () => {
    local.add(producer(part))()
    expect(local.answer('a').ledger).toEqual(part)
    expect(local.topics).toEqual(['t', 'u'])
  })

  it('adds up over many of them', () => {
    local.add(producer(part))()
    local.add(producer({ ...part, acknowledged: [{ topic: 't', partition: 0, from: 9n, to: 12n }] }))()
    expect(local.answer('a').ledger).toEqual({
      acknowledged: [{ topic: 't', partition: 0, from: 5n, to: 12n }],
      inDoubt: [{ topic: 'u', partition: 1, count: 4, keys: ['k', 'k'] }]
    })
  })

  it('forgets what every standby cluster has', async () => {
    local.add(producer({ ...part, inDoubt: [] }))()
    await local.trim(() => Promise.resolve(7n))
    expect(local.answer('a').ledger.acknowledged).toEqual([{ topic: 't', partition: 0, from: 7n, to: 9n }])
    await local.trim(() => Promise.resolve(9n))
    expect(local.answer('a').ledger).toEqual(empty)
    expect(local.topics).toEqual([])
  })

  it('survives a move that was aborted, and ends with one that was not', async () => {
    local.add(producer(part))()
    await local.leave({ mode: 'abandon', timeoutMs: 0 })
    await local.resume(east, never)
    expect(local.answer('a').ledger).toEqual(part)
    await local.resume(cluster('west'), never)
    expect(local.answer('a').ledger).toEqual(empty)
  })

  it('does not take over offsets of a cluster that was left before', async () => {
    const aborted = new AbortController()
    const leave = local.add(producer(part, () => Promise.reject(new Error('does not come up'))))
    aborted.abort()
    await local.resume(cluster('west'), aborted.signal)
    leave()
    expect(local.answer('a').ledger).toEqual(empty)
  })
})
