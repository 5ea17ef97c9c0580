import { afterAll, beforeAll, expect, it } from 'vitest'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { Bed, numbered } from './bed.js'

let north: KafkaCluster
let east: KafkaCluster
let west: KafkaCluster
let bed: Bed

beforeAll(async () => {
  ;[north, east, west] = await Promise.all([
    startKafka({ name: 'north' }),
    startKafka({ name: 'east' }),
    startKafka({ name: 'west' })
  ])
  bed = new Bed(east, west)
})

afterAll(async () => {
  await bed?.close()
  await Promise.all([north?.stop(), east?.stop(), west?.stop()])
})

const countOn = async (cluster: KafkaCluster, topic: string) =>
  (await bed.batches(cluster, topic)).filter(batch => !batch.control).reduce((sum, batch) => sum + batch.count, 0)

it('a chain carries everything to its end, there and back; a link that would close a ring is refused', async () => {
  const topics = 'chained'
  const forward = 'all-but-target'
  for (const cluster of [north, east, west]) {
    await bed.createTopic(cluster, topics)
    await bed.append(cluster, topics, numbered('r', 10))
  }
  const link = async (source: KafkaCluster, target: KafkaCluster) =>
    (await bed.mirror({ source: source.config(), target: target.config(), topics, forward })).mirror
  // north ⇄ east ⇄ west: each gets the ten of the others, once.
  const mirrors = [await link(north, east), await link(east, west), await link(west, east), await link(east, north)]
  for (const mirror of [...mirrors, ...mirrors]) await mirror.caughtUp({ timeoutMs: 30_000 })
  for (const cluster of [north, east, west]) expect(await countOn(cluster, topics)).toBe(30)
  await expect(link(west, north)).rejects.toMatchObject({
    code: 'TWINLOG_INVALID_OPTION',
    message: expect.stringContaining('circle')
  })
})
