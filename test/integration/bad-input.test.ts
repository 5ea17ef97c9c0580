import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { TwinlogError } from '../../src/errors.js'
import { Mirror } from '../../src/mirror/mirror.js'
import type { MirrorOptions } from '../../src/mirror/options.js'
import { OffsetTranslator } from '../../src/offsets/translator.js'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { Bed, eventually, numbered } from './bed.js'

const PASSWORD = 'right-horse-battery'

let east: KafkaCluster
let west: KafkaCluster
let bed: Bed
let before: string[]

beforeAll(async () => {
  ;[east, west] = await Promise.all([
    startKafka({ name: 'east' }),
    startKafka({
      name: 'west',
      listeners: [{ name: 'SASL', protocol: 'SASL_PLAINTEXT', plainUsers: { mirror: PASSWORD } }]
    })
  ])
  bed = new Bed(east, west)
  await bed.createTopic(east, 'orders')
  await bed.append(east, 'orders', numbered('r', 5))
  before = await bed.topics(west)
})

afterEach(async () => {
  await bed.stopMirrors()
  // Whatever was wrong: nothing was written.
  expect(await bed.topics(west)).toEqual(before)
})

afterAll(async () => {
  await bed?.close()
  await Promise.all([east?.stop(), west?.stop()])
})

const options = (over: object): MirrorOptions => ({
  source: east.config(),
  target: west.config(),
  topics: 'orders',
  ...over
})

/** What start() rejects with. */
async function refusal(over: Partial<MirrorOptions>): Promise<TwinlogError> {
  const error: unknown = await bed
    .watch({ topics: 'orders', ...over })
    .mirror.start()
    .then(
      () => undefined,
      (reason: unknown) => reason
    )
  expect(error).toBeInstanceOf(TwinlogError)
  return error as TwinlogError
}

async function closedPort(): Promise<number> {
  for (let port = 2_000; ; port++) {
    const open = await new Promise<boolean>(resolve => {
      const socket = connect({ port, host: '127.0.0.1' })
      socket.once('connect', () => (socket.destroy(), resolve(true)))
      socket.once('error', () => resolve(false))
    })
    if (!open) return port
  }
}

describe('what the constructor refuses', () => {
  it.each<[string, object, string, RegExp]>([
    ['no topics', { topics: undefined }, 'mirror.topics', /is missing: name topics, or give a RegExp/],
    ['an empty list', { topics: [] }, 'mirror.topics', /must not be empty: name topics, or give a RegExp/],
    ['an empty include', { topics: { include: [] } }, 'mirror.topics', /must not be empty/],
    ['an empty name', { topics: ['orders', ''] }, 'mirror.topics[1]', /must be a topic name or a RegExp/],
    ['a glob', { topics: 'orders*' }, 'mirror.topics[0]', /not a legal topic name; patterns are given as RegExp/],
    ['an unknown option', { topicz: 'orders' }, 'mirror.topicz', /is not an option; known are source, target/],
    ['an unknown option that every object has', { constructor: 1 }, 'mirror.constructor', /is not an option/],
    ['a planned option', { mm2: true }, 'mirror.mm2', /not available yet/],
    ['another planned option', { offsets: 'preserve' }, 'mirror.offsets', /not available yet/],
    [
      'an unknown option of createTopics',
      { createTopics: { replicas: 3 } },
      'mirror.createTopics.replicas',
      /is not an option/
    ],
    [
      'one alias for both',
      { target: { alias: 'east', brokers: ['localhost:1'] } },
      'mirror.target.alias',
      /must differ/
    ],
    ['no brokers', { target: { alias: 'west', brokers: [] } }, 'mirror.target.brokers', /list of 'host:port'/],
    [
      'a broker without port',
      { source: { alias: 'x', brokers: ['localhost'] } },
      'mirror.source.brokers[0]',
      /host:port/
    ],
    ['a link name with a slash', { link: 'a/b' }, 'mirror.link', /1 to 100 characters/],
    ['an interval of zero', { discoveryIntervalMs: 0 }, 'mirror.discoveryIntervalMs', /positive whole number/],
    ['a logger that is none', { logger: {} }, 'mirror.logger', /debug, info, warn and error/]
  ])('%s', (_what, over, path, problem) => {
    const construct = () => new Mirror(options(over))
    expect(construct).toThrow(TwinlogError)
    expect(construct).toThrow(
      expect.objectContaining({
        code: 'TWINLOG_INVALID_OPTION',
        path,
        message: expect.stringMatching(problem) as string
      })
    )
  })

  it('undefined is as good as absent', () => {
    expect(
      () =>
        new Mirror(
          options({
            link: undefined,
            createTopics: undefined,
            syncGroups: undefined,
            discoveryIntervalMs: undefined,
            logger: undefined
          })
        )
    ).not.toThrow()
  })
})

describe('what start() refuses', () => {
  it('source and target are one cluster under two aliases', async () => {
    const error = await refusal({ source: west.config('other'), target: west.config('west') })
    expect(error.code).toBe('TWINLOG_INVALID_OPTION')
    expect(error.message).toContain('same cluster')
    expect(error.message).toContain(west.clusterId)
  })

  it('an unreachable broker, on either side', async () => {
    const port = await closedPort()
    const nowhere = { brokers: [`127.0.0.1:${port}`], retry: { retries: 0 } }
    const source = await refusal({ source: east.config('east', nowhere) })
    expect(source).toMatchObject({ code: 'TWINLOG_UNREACHABLE', cluster: 'east' })
    expect(source.message).toContain(`127.0.0.1:${port}`)
    const target = await refusal({ target: west.config('west', nowhere) })
    expect(target).toMatchObject({ code: 'TWINLOG_UNREACHABLE', cluster: 'west' })
  })

  it('a wrong password: names the user, never the password; the right one works', async () => {
    const sasl = (password: string) => ({
      brokers: west.bootstrapOf('SASL'),
      sasl: { mechanism: 'plain' as const, username: 'mirror', password }
    })
    const error = await refusal({ target: west.config('west', sasl('wrong-horse')) })
    expect(error).toMatchObject({ code: 'TWINLOG_UNAUTHORIZED', cluster: 'west', retriable: false })
    expect(error.message).toContain('mirror')
    expect(JSON.stringify(error) + String(error.stack) + String(error.cause)).not.toContain('wrong-horse')
    const translator = new OffsetTranslator({ source: 'east', target: west.config('west', sasl(PASSWORD)) })
    await translator.connect()
    expect(await translator.translate({ topic: 'orders', partition: 0, offset: 0n })).toEqual({
      kind: 'unknown',
      reason: 'state-lost'
    })
    await translator.disconnect()
  })

  it('a Mirror that failed to start can be started again, and stopped', async () => {
    const port = await closedPort()
    const { mirror } = bed.watch({
      topics: 'orders',
      target: west.config('west', { brokers: [`127.0.0.1:${port}`], retry: { retries: 0 } })
    })
    await expect(mirror.start()).rejects.toMatchObject({ code: 'TWINLOG_UNREACHABLE' })
    await expect(mirror.start()).rejects.toMatchObject({ code: 'TWINLOG_UNREACHABLE' })
    await mirror.stop()
    expect(mirror.status().lanes).toEqual([])
  })
})

describe('what is reported while the Mirror waits for it to be put right', () => {
  it('a named topic that does not exist: a warning with an error that says what to do; discovery goes on, nothing to catch up with', async () => {
    const { mirror, events } = await bed.mirror({ topics: ['no-such-topic', 'nor-this'], link: 'missing' })
    expect(events.warning).toHaveLength(2)
    expect(events.warning.map(({ error }) => error)).toMatchObject([
      { code: 'TWINLOG_UNKNOWN_TOPIC', cluster: 'east', topic: 'no-such-topic' },
      { code: 'TWINLOG_UNKNOWN_TOPIC', cluster: 'east', topic: 'nor-this' }
    ])
    expect(events.warning[0]?.message).toMatch(/no-such-topic.*create it there or check mirror.topics/)
    expect((await mirror.caughtUp({ timeoutMs: 5_000 })).lanes).toEqual([])
    // Said once, not at every look.
    await new Promise(resolve => setTimeout(resolve, 700))
    expect(events.warning).toHaveLength(2)
    expect(mirror.status().lanes).toEqual([])
  })

  it('createTopics: false and the topic is not on the target: a failed lane that says so', async () => {
    const { mirror, laneIs, events } = await bed.mirror({ topics: 'orders', createTopics: false, link: 'uncreated' })
    const lane = await laneIs('orders', 'failed')
    expect(lane.error).toMatchObject({ code: 'TWINLOG_UNKNOWN_TOPIC', cluster: 'west', topic: 'orders' })
    expect(lane.why).toMatch(/createTopics is false: create it there/)
    expect(events.warning.map(({ error }) => error?.code)).toEqual(['TWINLOG_UNKNOWN_TOPIC'])
    await expect(mirror.caughtUp({ timeoutMs: 5_000 })).rejects.toMatchObject({
      code: 'TWINLOG_NOT_CAUGHT_UP',
      topic: 'orders'
    })
    await eventually(() => events['lane:failed'].length === 1)
  })
})
