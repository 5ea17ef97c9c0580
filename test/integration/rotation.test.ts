import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { FailoverClient } from '../../src/failover/client.js'
import type { TwinlogError } from '../../src/errors.js'
import type { ClusterConfig } from '../../src/kafka/types.js'
import { Authority } from '../support/certificates.js'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { type Oracle, startOracle } from '../support/oracle.js'
import { type ProxyMap, proxyMap, socketFactoryThrough } from '../support/socket-factory.js'
import { Bed, eventually, silent } from './bed.js'

/*
 * The source lets in by SCRAM, in sessions of a few seconds. The target lets in by SCRAM over TLS, and wants a client certificate too.
 */

const SESSION_MS = 2_000

let directory: string
let east: KafkaCluster
let west: KafkaCluster
let oracle: Oracle
let bed: Bed
let proxies: ProxyMap
let authority: Authority
/** What the clusters accept now. */
let username = 'mirror'
let password = 'first-pass'

const file = (name: string) => join(directory, name)

/** The broker's files: read when it starts. */
function certify(by: Authority): void {
  const { cert, key } = by.issue('broker')
  writeFileSync(file('keystore.pem'), `${key}${cert}${by.ca}`)
  writeFileSync(file('truststore.pem'), by.ca)
}

/** What a service would have read from its secrets; changed by `replace`. */
function secrets() {
  const read = () => ({
    sasl: { mechanism: 'scram-sha-512' as const, username, password },
    ssl: { ca: authority.ca, ...authority.issue('client') }
  })
  let now = read()
  const through = socketFactoryThrough(proxies)
  const socketFactory = ((args: Parameters<typeof through>[0]) => {
    mine.attempts += 1
    return through(args)
  }) as NonNullable<ClusterConfig['socketFactory']>
  const east_: ClusterConfig = {
    ...east.config('east', { brokers: east.bootstrapOf('SASL') }),
    socketFactory,
    sasl: now.sasl
  }
  const west_: ClusterConfig = {
    ...west.config('west', { brokers: west.bootstrapOf('SECURE') }),
    socketFactory,
    get sasl() {
      return now.sasl
    },
    get ssl() {
      return now.ssl
    }
  }
  const mine = {
    east: east_,
    west: west_,
    /** Connections that were begun. */
    attempts: 0,
    replace() {
      now = read()
      east_.sasl = now.sasl
    }
  }
  return mine
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'twinlog-rotation-'))
  authority = new Authority('old-authority')
  certify(authority)
  proxies = proxyMap()
  const scramUsers = { mirror: password, 'mirror-2': password }
  const properties = { 'connections.max.reauth.ms': SESSION_MS }
  ;[east, west, oracle] = await Promise.all([
    startKafka({ name: 'east', listeners: [{ name: 'SASL', protocol: 'SASL_PLAINTEXT', scramUsers }], properties }),
    startKafka({
      name: 'west',
      listeners: [
        {
          name: 'SECURE',
          protocol: 'SASL_SSL',
          scramUsers,
          properties: {
            'ssl.keystore.type': 'PEM',
            'ssl.keystore.location': file('keystore.pem'),
            'ssl.truststore.type': 'PEM',
            'ssl.truststore.location': file('truststore.pem'),
            'ssl.client.auth': 'required'
          }
        }
      ],
      properties
    }),
    startOracle()
  ])
  bed = new Bed(east, west)
})

afterEach(async () => {
  await bed.stopMirrors()
})

afterAll(async () => {
  await bed?.close()
  await proxies?.close()
  await Promise.all([oracle?.close(), east?.stop(), west?.stop()])
  authority?.remove()
  rmSync(directory, { recursive: true, force: true })
})

const cutAll = () => {
  for (const proxy of proxies.all()) proxy.reset()
}

/** Three partitions that are written to while a Mirror copies them. */
async function copied(topic: string) {
  await bed.createTopic(east, topic, 3)
  const mine = secrets()
  const load = oracle.produce({ cluster: east.bootstrap, topic, ratePerSecond: 300, valueBytes: 200 })
  const options = { link: topic, topics: topic, source: mine.east, target: mine.west }
  const { mirror, events } = await bed.mirror(options)
  const reached = () => mirror.status().lanes.reduce((sum, lane) => sum + lane.reached, 0n)
  await eventually(() => reached() > 100n)
  return {
    mine,
    events,
    reached,
    /** Every lane copies again; answers after how long. */
    async goesOn(): Promise<number> {
      const [since, before] = [performance.now(), reached()]
      await eventually(
        () =>
          reached() > before + 300n &&
          mirror.status().lanes.every(({ state }) => state === 'copying' || state === 'caught-up')
      )
      return Math.round(performance.now() - since)
    },
    /** Everything is there once; answers how many records. */
    async isExact(): Promise<number> {
      const { acknowledged } = await load.stop()
      await mirror.caughtUp({ timeoutMs: 20_000 })
      const comparison = await oracle.compare({ source: east.bootstrap, target: west.bootstrap, sourceTopic: topic })
      expect(comparison).toMatchObject({
        equal: true,
        missing: 0,
        repeated: 0,
        outOfOrder: 0,
        targetCount: acknowledged
      })
      return acknowledged
    }
  }
}

describe('credentials that are replaced while a Mirror and a consumer run', () => {
  it('another user, whom the brokers know beforehand: connections are replaced when their sessions end, and nobody is refused', async () => {
    const { mine, events, goesOn, isExact } = await copied('users')
    username = 'mirror-2'
    mine.replace()
    await sleep(SESSION_MS)
    // The old one is worth nothing any more.
    for (const { bootstrap } of [east, west])
      await oracle.scram({ cluster: bootstrap, user: 'mirror', password: 'gone' })
    cutAll()
    await goesOn()
    await isExact()
    expect(events['lane:failed']).toEqual([])
    expect(events.error).toEqual([])
  })

  it('another password, told late: everybody is refused meanwhile, says so without the password, and goes on by themselves', async () => {
    const { mine, events, reached, goesOn, isExact } = await copied('passwords')
    const client = new FailoverClient({ service: 'late', clusters: [mine.east, mine.west], logger: silent })
    await client.connect()
    const handled = new Map<string, number>()
    const consumer = client.consumer({ groupId: 'late', retry: { initialRetryTime: 50, maxRetryTime: 500 } })
    await consumer.connect()
    await consumer.subscribe({ topics: ['passwords'], fromBeginning: true })
    await consumer.run({
      eachMessage: async ({ partition, message }) => {
        const id = `${partition}/${message.offset}`
        handled.set(id, (handled.get(id) ?? 0) + 1)
      }
    })
    await bed.createTopic(east, 'sent')
    const producer = client.producer()
    await producer.connect()
    const [acknowledged, refusals]: [string[], string[]] = [[], []]
    let sending = true
    const sent = (async () => {
      for (let n = 0; sending; n++) {
        await producer.send({ topic: 'sent', messages: [{ value: `s${n}` }] }).then(
          () => acknowledged.push(`s${n}`),
          (error: TwinlogError) => refusals.push(error.code)
        )
        await sleep(50)
      }
    })()
    await eventually(() => handled.size > 50 && acknowledged.length > 5)
    password = 'second-pass'
    for (const { bootstrap } of [east, west]) await oracle.scram({ cluster: bootstrap, user: username, password })
    cutAll()
    // Brokers take a moment to learn the new one, and let in meanwhile who then stays for a session.
    await sleep(2 * SESSION_MS)
    const [stoodAt, before] = [reached(), handled.size]
    mine.attempts = 0
    await sleep(2_000)
    const { attempts } = mine
    expect([reached(), handled.size]).toEqual([stoodAt, before])
    mine.replace()
    const ms = await goesOn()
    const ackedBefore = acknowledged.length
    await eventually(() => handled.size > before + 300 && acknowledged.length > ackedBefore + 20)
    sending = false
    await sent
    const onEast = (await oracle.read({ cluster: east.bootstrap, topic: 'sent', partition: 0 })).map(({ value }) =>
      String(value)
    )
    expect(onEast.filter(value => acknowledged.includes(value))).toEqual(acknowledged)
    expect(new Set(onEast).size).toBe(onEast.length)
    console.log('producer:', {
      acknowledged: acknowledged.length,
      refusals: [...new Set(refusals)],
      times: refusals.length
    })
    const count = await isExact()
    await eventually(() => handled.size === count)
    expect([...handled.values()].filter(times => times > 1)).toEqual([])
    await client.disconnect()
    console.log(
      `late password: ${attempts} connections in 2 s of refusal, all lanes copy ${ms} ms after the new one is known`
    )
    const errors = events['lane:failed'].map(({ error }) => error)
    expect(errors[0]).toMatchObject({
      code: 'TWINLOG_UNAUTHORIZED',
      message: expect.stringContaining('user "mirror-2"')
    })
    expect(JSON.stringify([errors, events.error])).not.toMatch(/(first|second)-pass/)
  })
})

describe('certificates that are replaced while a Mirror runs', () => {
  it('a broker comes back with the certificate of another authority, and knows no client of the old one', async () => {
    const { mine, events, reached, goesOn, isExact } = await copied('certificates')
    authority.remove()
    authority = new Authority('new-authority')
    certify(authority)
    await west.brokers[0]?.restart()
    await sleep(1_000)
    const stoodAt = reached()
    await sleep(500)
    expect(reached()).toBe(stoodAt)
    mine.replace()
    const ms = await goesOn()
    await isExact()
    console.log(`certificates: all lanes copy ${ms} ms after the new ones are known`)
    expect(events['lane:failed'][0]?.error.message).toMatch(/self-signed certificate.*check the ssl option/)
  })
})
