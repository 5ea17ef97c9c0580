import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import type { StartOption } from '../../src/mirror/start-position.js'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { Bed, eventually, numbered } from './bed.js'

let east: KafkaCluster
let west: KafkaCluster
let bed: Bed

beforeAll(async () => {
  ;[east, west] = await Promise.all([startKafka({ name: 'east' }), startKafka({ name: 'west' })])
  bed = new Bed(east, west)
})

afterEach(async () => {
  await bed.stopMirrors()
})

afterAll(async () => {
  await bed?.close()
  await Promise.all([east?.stop(), west?.stop()])
})

const countOn = async (cluster: KafkaCluster, topic: string) =>
  (await bed.batches(cluster, topic)).filter(batch => !batch.control).reduce((sum, batch) => sum + batch.count, 0)

/** Ten records, a minute apart, the last one a minute ago. */
async function tenMinutes(topic: string): Promise<number> {
  await bed.createTopic(east, topic)
  const firstMs = Date.now() - 10 * 60_000
  for (let minute = 0; minute < 10; minute++)
    await bed.append(east, topic, [{ value: `m${minute}`, timestamp: firstMs + minute * 60_000 }])
  return firstMs
}

it.each([
  ['earliest', () => 'earliest', 10],
  ['latest', () => 'latest', 0],
  ['time', (firstMs: number) => ({ timestamp: firstMs + 6.5 * 60_000 }), 3],
  ['future', () => ({ timestamp: Date.now() + 3_600_000 }), 0],
  ['offsets', () => ({ offsets: { 'start.offsets': { 0: 4n } } }), 6],
  ['others', () => ({ offsets: { another: { 0: 4n } } }), 10]
] as [string, (firstMs: number) => StartOption, number][])(
  '%s: what exists begins there, what comes later is copied too, and another start changes nothing',
  async (name, startOf, copied) => {
    const topic = `start.${name}`
    const firstMs = await tenMinutes(topic)
    const options = { link: `start-${name}`, topics: [topic, `${topic}.later`] }
    const first = await bed.mirror({ ...options, start: startOf(firstMs) })
    await first.mirror.caughtUp({ timeoutMs: 30_000 })
    expect(await countOn(west, topic)).toBe(copied)
    // Found later: from its beginning, whatever the option says.
    await bed.createTopic(east, `${topic}.later`)
    await bed.append(east, `${topic}.later`, numbered('l', 5))
    await eventually(() => first.events['topic:created'].some(event => event.topic === `${topic}.later`))
    await bed.append(east, topic, numbered('n', 3))
    await first.mirror.caughtUp({ timeoutMs: 30_000 })
    expect(await countOn(west, `${topic}.later`)).toBe(5)
    expect(await countOn(west, topic)).toBe(copied + 3)
    await bed.stopMirrors()
    const second = await bed.mirror({ ...options, start: 'earliest' })
    await second.mirror.caughtUp({ timeoutMs: 30_000 })
    expect(await countOn(west, topic)).toBe(copied + 3)
  }
)

it('latest leaves nothing out of a transaction that is open', async () => {
  await bed.createTopic(east, 'start.open')
  await bed.append(east, 'start.open', numbered('before', 3))
  const end = await bed.openTransaction(east, 'start.open', 'start-open', numbered('in', 4))
  const { mirror } = await bed.mirror({ link: 'start-open', topics: 'start.open', start: 'latest' })
  await end(true)
  // The marker is in the log a little after the answer.
  await eventually(async () => (await bed.bounds(east, 'start.open')).end === 8n)
  await mirror.caughtUp({ timeoutMs: 30_000 })
  expect(await countOn(west, 'start.open')).toBe(4)
})

it('an offset outside of the log fails its lane with the bounds', async () => {
  await tenMinutes('start.outside')
  const { lane } = await bed.mirror({
    link: 'start-outside',
    topics: 'start.outside',
    start: { offsets: { 'start.outside': { 0: 11n } } }
  })
  expect(lane('start.outside')).toMatchObject({ state: 'failed', error: { code: 'TWINLOG_INVALID_OPTION' } })
  expect(lane('start.outside').error?.message).toContain('from 0 to 10')
})
