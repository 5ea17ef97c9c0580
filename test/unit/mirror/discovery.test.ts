import { beforeEach, describe, expect, it } from 'vitest'
import type { TwinlogError } from '../../../src/errors.js'
import { Discovery } from '../../../src/mirror/discovery.js'
import type { TopicTraits } from '../../../src/mirror/topic-traits.js'
import type { Selector } from '../../../src/util/selector.js'
import { FakeAdmin } from './fake-admin.js'

let source: FakeAdmin
let target: FakeAdmin
let events: string[]
let nowMs: number
let opened: number

beforeEach(() => {
  source = new FakeAdmin('east')
  target = new FakeAdmin('west')
  events = []
  nowMs = 1_000_000
  opened = 0
})

function discovery(o: { topics?: Selector; createTopics?: false | { configs: Record<string, string> } } = {}) {
  const createTopics =
    o.createTopics === false ? (false as const) : { replicationFactor: undefined, configs: {}, ...o.createTopics }
  return new Discovery({
    source: source.client,
    target: target.client,
    options: { topics: o.topics ?? /.*/, createTopics },
    beforeWriting: async () => {
      opened++
    },
    now: () => nowMs,
    events: {
      created: (topic, partitions) => events.push(`created ${topic} ${partitions}`),
      grown: (topic, partitions) => events.push(`grown ${topic} ${partitions}`),
      refused: (topic, error) => events.push(`refused ${topic} ${error.code}`),
      missing: (error: TwinlogError) => events.push(`missing ${error.topic ?? '*'}`),
      configsChanged: (topic, traits: TopicTraits) => events.push(`configs ${topic} ${JSON.stringify(traits)}`)
    }
  })
}

const idOf = (cluster: FakeAdmin, topic: string) => cluster.topics.get(topic)?.id ?? ''
const heard = () => events.splice(0)
const lanesOf = (round: Awaited<ReturnType<Discovery['round']>>) =>
  round.lanes.map(lane => `${lane.source.topic}-${lane.source.partition}${lane.refused ? ` ${lane.refused.code}` : ''}`)

describe('a round of discovery', () => {
  it('creates what is missing, grows what is too small, takes what is large enough', async () => {
    for (const topic of ['new', 'small', 'large']) source.topic(topic, 2)
    target.topic('small', 1)
    target.topic('large', 5)
    const found = discovery()
    const round = await found.round()
    expect(lanesOf(round).sort()).toEqual(['large-0', 'large-1', 'new-0', 'new-1', 'small-0', 'small-1'])
    expect(heard().sort()).toEqual(['created new 2', 'grown small 2'])
    for (const lane of round.lanes) {
      expect(lane.source.topicId).toBe(idOf(source, lane.source.topic))
      expect(lane.target).toEqual({
        topic: lane.source.topic,
        topicId: idOf(target, lane.source.topic),
        partition: lane.source.partition
      })
    }
  })

  it('costs one metadata request on each side when nothing has changed, however many topics there are', async () => {
    for (let topic = 0; topic < 300; topic++) source.topic(`topic-${topic}`, 4)
    const found = discovery()
    await found.round()
    source.requests()
    target.requests()
    expect(await found.round()).toEqual({ lanes: [], gone: [] })
    expect(source.requests()).toEqual(['Metadata *'])
    expect(target.requests().map(request => request.split(' ')[0])).toEqual(['Metadata'])
  })

  it('hands out only the new partitions of a topic that grew', async () => {
    source.topic('orders', 1)
    const found = discovery()
    await found.round()
    const topic = source.topics.get('orders')
    topic?.partitions.push(...Array.from({ length: 2 }, () => topic.partitions[0] as never))
    const round = await found.round()
    expect(lanesOf(round)).toEqual(['orders-1', 'orders-2'])
    expect(heard()).toEqual(['created orders 1', 'grown orders 3'])
  })

  it('tells of compaction, of the limit for batches and of LogAppendTime', async () => {
    source.topic('orders', 1, { 'cleanup.policy': 'compact,delete' })
    target.topic('orders', 1, { 'max.message.bytes': '5000', 'message.timestamp.type': 'LogAppendTime' })
    const [lane] = (await discovery().round()).lanes
    expect(lane).toMatchObject({ compacted: true, maxBatchBytes: 5000, logAppendTime: true })
  })

  it('hands out configs that have changed, looked at every 30 seconds', async () => {
    source.topic('orders')
    const found = discovery()
    await found.round()
    heard()
    source.configs.set('orders', { 'cleanup.policy': 'compact' })
    nowMs += 29_999
    await found.round()
    expect(heard()).toEqual([])
    nowMs += 1
    expect((await found.round()).lanes).toEqual([])
    expect(heard()).toEqual(['configs orders {"compacted":true,"maxBatchBytes":1048588,"logAppendTime":false}'])
    nowMs += 30_000
    await found.round()
    expect(heard()).toEqual([])
  })

  it('leaves lanes alone whose configs cannot be read any more', async () => {
    source.topic('orders')
    const found = discovery()
    await found.round()
    heard()
    source.errors.set('orders', { configs: 29 })
    nowMs += 30_000
    expect(await found.round()).toEqual({ lanes: [], gone: [] })
    expect(heard()).toEqual([])
  })

  it('a round that rejects loses nothing: the next one finds it again', async () => {
    source.topic('orders')
    const found = discovery()
    target.before = name => {
      if (name === 'DescribeConfigs') throw new Error('cut')
    }
    await expect(found.round()).rejects.toThrow('cut')
    target.before = () => undefined
    expect(lanesOf(await found.round())).toEqual(['orders-0'])
  })
})

describe('refused topics', () => {
  it('are judged again every round, told when the reason changes, and handed out when the cause is gone', async () => {
    source.topic('orders', 2)
    const found = discovery({ createTopics: false })
    expect(lanesOf(await found.round())).toEqual(['orders-0 TWINLOG_UNKNOWN_TOPIC', 'orders-1 TWINLOG_UNKNOWN_TOPIC'])
    expect(heard()).toEqual(['refused orders TWINLOG_UNKNOWN_TOPIC'])
    expect(await found.round()).toEqual({ lanes: [], gone: [] })
    target.topic('orders', 1)
    expect(lanesOf(await found.round())).toEqual(['orders-0 TWINLOG_UNSUPPORTED', 'orders-1 TWINLOG_UNSUPPORTED'])
    expect(heard()).toEqual(['refused orders TWINLOG_UNSUPPORTED'])
    expect(opened).toBe(0)
    target.topic('orders', 2)
    expect(lanesOf(await found.round())).toEqual(['orders-0', 'orders-1'])
    expect(heard()).toEqual([])
    expect(opened).toBe(1)
  })

  it('one whose configs cannot be read holds nobody up, and comes when it can', async () => {
    source.topic('orders')
    source.topic('invoices')
    source.errors.set('orders', { configs: 29 })
    const found = discovery()
    const first = await found.round()
    expect(lanesOf(first).sort()).toEqual(['invoices-0', 'orders-0 TWINLOG_UNAUTHORIZED'])
    expect(first.lanes.find(lane => lane.refused)?.target.topicId).toBe('')
    source.errors.clear()
    target.errors.set('orders', { create: 29 })
    expect(lanesOf(await found.round())).toEqual(['orders-0 TWINLOG_UNAUTHORIZED'])
    target.errors.clear()
    target.errors.set('orders', { configs: 29 })
    expect(lanesOf(await found.round())).toEqual(['orders-0 TWINLOG_UNAUTHORIZED'])
    target.errors.clear()
    expect(lanesOf(await found.round())).toEqual(['orders-0'])
  })

  it('trouble that passes by itself is told once and makes no failed lanes', async () => {
    source.topic('orders')
    target.errors.set('orders', { create: 7 })
    const found = discovery()
    for (let round = 0; round < 3; round++) expect((await found.round()).lanes).toEqual([])
    expect(heard()).toEqual(['refused orders TWINLOG_TIMEOUT'])
    target.errors.clear()
    expect(lanesOf(await found.round())).toEqual(['orders-0'])
  })

  it('a refused topic that grows shows its new partitions too', async () => {
    source.topic('orders', 1)
    const found = discovery({ createTopics: false })
    await found.round()
    source.topics.get('orders')?.partitions.push(undefined as never)
    expect(lanesOf(await found.round())).toHaveLength(2)
    expect(heard()).toEqual(['refused orders TWINLOG_UNKNOWN_TOPIC'])
  })
})

describe('topics that go and come', () => {
  it('a source topic that was deleted is gone once, and comes back as another', async () => {
    const before = source.topic('orders')
    const found = discovery({ topics: 'orders' })
    await found.round()
    heard()
    source.topics.delete('orders')
    expect(await found.round()).toEqual({ lanes: [], gone: [{ topic: 'orders', topicId: before }] })
    expect(await found.round()).toEqual({ lanes: [], gone: [] })
    expect(heard()).toEqual(['missing orders'])
    const after = source.topic('orders')
    const round = await found.round()
    expect(round.gone).toEqual([])
    expect(round.lanes.map(lane => lane.source.topicId)).toEqual([after])
  })

  it('a source topic that was created again between two rounds: the old id is gone, the new one has lanes', async () => {
    const before = source.topic('orders', 2)
    const found = discovery()
    await found.round()
    const after = source.topic('orders', 1)
    const round = await found.round()
    expect(round.gone).toEqual([{ topic: 'orders', topicId: before }])
    expect(round.lanes.map(lane => lane.source)).toEqual([{ topic: 'orders', topicId: after, partition: 0 }])
  })

  it('a topic that may not be seen any more is not gone', async () => {
    source.topic('orders')
    const found = discovery()
    await found.round()
    const kept = source.topics.get('orders')
    source.topics.delete('orders')
    source.errors.set('orders', { metadata: 29 })
    expect(await found.round()).toEqual({ lanes: [], gone: [] })
    source.errors.clear()
    if (kept) source.topics.set('orders', kept)
    expect(await found.round()).toEqual({ lanes: [], gone: [] })
  })

  it('a broker that is behind and still shows the former topic is not believed, for a minute', async () => {
    source.topic('orders')
    const found = discovery()
    await found.round()
    const old = source.topics.get('orders')
    source.topic('orders')
    const fresh = source.topics.get('orders')
    await found.round()
    if (!old || !fresh) throw new Error('no topic')
    source.topics.set('orders', old)
    expect(await found.round()).toEqual({ lanes: [], gone: [] })
    nowMs += 60_001
    expect((await found.round()).lanes.map(lane => lane.source.topicId)).toEqual([old.id])
  })

  it('a target topic that was deleted is created again, with lanes to the new one', async () => {
    source.topic('orders', 2)
    const found = discovery()
    await found.round()
    const before = idOf(target, 'orders')
    target.topics.delete('orders')
    const round = await found.round()
    expect(round.gone).toEqual([])
    expect(round.lanes.map(lane => lane.target.topicId)).toEqual([idOf(target, 'orders'), idOf(target, 'orders')])
    expect(idOf(target, 'orders')).not.toBe(before)
    expect(heard()).toEqual(['created orders 2', 'created orders 2'])
  })

  it('a target topic that somebody created again gets new lanes; without createTopics a deleted one is refused', async () => {
    source.topic('orders')
    target.topic('orders')
    const found = discovery({ createTopics: false })
    await found.round()
    const id = target.topic('orders')
    expect((await found.round()).lanes.map(lane => lane.target.topicId)).toEqual([id])
    target.topics.delete('orders')
    expect(lanesOf(await found.round())).toEqual(['orders-0 TWINLOG_UNKNOWN_TOPIC'])
    const again = target.topic('orders')
    expect((await found.round()).lanes.map(lane => lane.target.topicId)).toEqual([again])
  })

  it('one broker that does not know the target topic is not enough to begin it anew, or to refuse it', async () => {
    source.topic('orders')
    target.topic('orders')
    const found = discovery({ createTopics: false })
    await found.round()
    const kept = target.topics.get('orders')
    let asked = 0
    target.before = name => {
      if (name !== 'Metadata') return
      if (asked++ === 0) target.topics.delete('orders')
      else if (kept) target.topics.set('orders', kept)
    }
    expect(await found.round()).toEqual({ lanes: [], gone: [] })
    expect(heard()).toEqual([])
  })
})

describe('topics that are created', () => {
  const ANY = '9223372036854775807'

  it('take records of any age with their own time stamps, whatever the source demands; the user has the last word', async () => {
    source.topic('orders', 1, {
      'cleanup.policy': 'compact',
      'message.timestamp.type': 'LogAppendTime',
      'message.timestamp.before.max.ms': '1000',
      'message.timestamp.difference.max.ms': '1000'
    })
    await discovery({
      createTopics: { configs: { 'message.timestamp.after.max.ms': '5', 'retention.ms': '7' } }
    }).round()
    expect(target.created[0]?.configs).toEqual({
      'cleanup.policy': 'compact',
      'message.timestamp.type': 'CreateTime',
      'message.timestamp.before.max.ms': ANY,
      'message.timestamp.after.max.ms': '5',
      'retention.ms': '7'
    })
  })

  it('do without the limits on brokers that do not know them, and only without those', async () => {
    source.topic('orders')
    target.unknownConfigs.add('message.timestamp.before.max.ms')
    const found = discovery({ createTopics: { configs: { 'retention.ms': '7' } } })
    expect(lanesOf(await found.round())).toEqual(['orders-0'])
    expect(target.created[0]?.configs).toEqual({ 'message.timestamp.type': 'CreateTime', 'retention.ms': '7' })
    source.topic('invoices')
    target.unknownConfigs.add('retention.ms')
    expect(lanesOf(await found.round())).toEqual(['invoices-0 TWINLOG_PROTOCOL'])
  })
})

describe('ensureTarget', () => {
  const like = async () => {
    const topic = (await source.metadata()).topics.get('orders')
    if (!topic) throw new Error('no topic')
    return topic
  }

  it('creates a routed topic once for all who ask, like the one its records come from', async () => {
    source.topic('orders', 3, { 'cleanup.policy': 'compact' })
    const found = discovery()
    const topic = await like()
    const [first, second] = await Promise.all([found.ensureTarget('audit', topic), found.ensureTarget('audit', topic)])
    expect(first).toEqual({
      topicId: idOf(target, 'audit'),
      partitions: 3,
      maxBatchBytes: 1_048_588,
      logAppendTime: false
    })
    expect(second).toEqual(first)
    expect(target.requests().filter(request => request === 'CreateTopics')).toHaveLength(1)
    expect(target.created).toMatchObject([{ name: 'audit', partitions: 3, configs: { 'cleanup.policy': 'compact' } }])
  })

  it('takes one that is there as it is, and refuses to invent one without createTopics', async () => {
    source.topic('orders', 3)
    target.topic('audit', 1, { 'max.message.bytes': '77', 'message.timestamp.type': 'LogAppendTime' })
    const found = discovery({ createTopics: false })
    expect(await found.ensureTarget('audit', await like())).toEqual({
      topicId: idOf(target, 'audit'),
      partitions: 1,
      maxBatchBytes: 77,
      logAppendTime: true
    })
    await expect(found.ensureTarget('other', await like())).rejects.toMatchObject({ code: 'TWINLOG_UNKNOWN_TOPIC' })
  })
})
