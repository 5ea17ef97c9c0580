import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { apicurioAvailable, startApicurio } from '../support/registry/apicurio.js'
import { Bed, eventually } from './bed.js'
import { startGuidRegistry } from './guid-registry.js'
import { idOf, readsWithKafkajs, type Scenario, SchemaService } from './schema-service.js'
import { plain, SecondClient } from './second-client.js'

interface Registry {
  readonly url: string
  close(): Promise<void>
}

/** Records of each version in each topic: three versions are written on east, a fourth one on west. */
const ROUND = 8
const COPIED = 3 * ROUND
const apicurio = await apicurioAvailable()

const SCENARIOS: (Omit<Scenario, 'east' | 'west'> & {
  start: () => Promise<Registry>
  strangers: [east: number, west: number]
})[] = [
  // SchemaSync finds new versions by itself, or a record that waits makes it look.
  { name: 'kept', ids: 'preserve', guids: true, intervalMs: 250, start: startGuidRegistry, strangers: [5, 0] },
  // Only a record that waits does: nobody looks within the test.
  { name: 'changed', ids: 'translate', guids: true, intervalMs: 60_000, start: startGuidRegistry, strangers: [0, 100] },
  { name: 'real', ids: 'translate', intervalMs: 60_000, start: startApicurio, strangers: [0, 100] }
]
const chosen = SCENARIOS.filter(({ start }) => start !== startApicurio || apicurio === true)
const named = (ids: Scenario['ids']) => chosen.filter(scenario => scenario.ids === ids).map(({ name }) => name)

describe('schemas, from a producer on east to a consumer on west after a failover', () => {
  let east: KafkaCluster
  let west: KafkaCluster
  let bed: Bed
  const registries: Record<'east' | 'west', Registry[]> = { east: [], west: [] }
  const services = new Map<string, SchemaService>()
  const serviceOf = (name: string) => services.get(name) as SchemaService

  const registry = async (start: () => Promise<Registry>, side: 'east' | 'west', strangers: number) => {
    const started = await start()
    registries[side].push(started)
    await occupy(started.url, strangers)
    return { url: started.url }
  }

  beforeAll(async () => {
    ;[east, west] = await Promise.all([startKafka({ name: 'east' }), startKafka({ name: 'west' })])
    bed = new Bed(east, west)
    for (const { start, strangers, ...scenario } of chosen) {
      const sides = await Promise.all([registry(start, 'east', strangers[0]), registry(start, 'west', strangers[1])])
      services.set(scenario.name, new SchemaService(bed, { ...scenario, east: sides[0], west: sides[1] }))
    }
  })

  afterAll(async () => {
    await Promise.all([...services.values()].map(service => service.close()))
    await bed?.close()
    await Promise.all([east, west].map(cluster => cluster?.stop()))
    await Promise.all([...registries.east, ...registries.west].map(each => each.close()))
  })

  if (apicurio !== true) it.skip(`with Apicurio: ${apicurio}`, () => undefined)

  it('copies records and schemas while new versions come, and fails over when east is gone', async () => {
    await Promise.all(
      [...services.values()].map(async service => {
        await service.start()
        for (const version of [1, 2]) await Promise.all([service.send(version, ROUND), service.register(version + 1)])
        await service.send(3, ROUND)
        await service.caughtUp()
        await service.rememberIds()
      })
    )
    // East's registries go with it.
    await Promise.all([east.brokers[0]?.kill(), ...registries.east.map(each => each.close())])
    await Promise.all(
      [...services.values()].map(async service => {
        const evidence = await service.client.failover('west', { reason: 'east is gone' })
        expect(evidence).toMatchObject({ outcome: 'moved', ledger: { lost: [], inDoubt: [] } })
        await service.stopCopying()
        await service.register(4)
        await service.send(4, ROUND, 'latest')
      })
    )
  }, 120_000)

  it.each(chosen)('the consumer of $name that lived through it has decoded every record', async ({ name }) => {
    const { handled, sent, kinds } = serviceOf(name)
    for (const [topic, kind] of kinds) {
      if (!readsWithKafkajs(kind)) continue
      const expected = sent.get(topic)?.map(({ payload }) => payload) ?? []
      const seen = () => bySequence(handled.get(topic) ?? [])
      const problem = () => `${topic}: ${seen().length} of ${expected.length}`
      await eventually(() => seen().length >= expected.length, problem)
      expect(seen()).toEqual(expected)
    }
  })

  it.each(chosen)('a consumer on west decodes every record of $name with both client libraries', async ({ name }) => {
    const service = serviceOf(name)
    const second = new SecondClient(service.scenario.west.url)
    const read = await service.readAll()
    for (const [topic, kind] of service.kinds) {
      const records = read.get(topic) ?? []
      const sent = service.sent.get(topic) ?? []
      expect(records).toHaveLength(COPIED + ROUND)
      const payloads = sent.map(({ payload }) => payload)
      if (readsWithKafkajs(kind)) {
        const decoded = await Promise.all(records.map(({ value }) => service.registry.decode(value)))
        expect(decoded.map(plain)).toEqual(payloads)
      }
      if (kind.keyed) {
        const keys = await Promise.all(records.map(({ key }) => service.registry.decode(key ?? Buffer.alloc(0))))
        expect(keys.map(plain)).toEqual(sent.map(({ key }) => key?.payload))
      }
      // kafkajs's package leaves Protobuf's message indexes out, so Confluent's client cannot read its records, copied or not.
      if (kind.writer === 'kafkajs' && kind.format === 'protobuf') continue
      const decoded = await Promise.all(
        records.map(({ value, headers }) => second.decode(kind.format, topic, value, headers))
      )
      expect(decoded).toEqual(payloads)
    }
  })

  it.each(named('preserve'))('ids of %s are the same numbers, records the same bytes', async name => {
    const service = serviceOf(name)
    for (const [topic, records] of await service.readAll()) {
      const sent = service.sent.get(topic) ?? []
      expect(records.map(({ value }) => value)).toEqual(sent.map(({ bytes }) => bytes))
      expect(records.map(({ headers }) => headers)).toEqual(sent.map(({ headers }) => headers ?? {}))
      if (service.kinds.get(topic)?.headers) continue
      // Strangers came first on east.
      expect(Math.min(...records.map(({ value }) => idOf(value)))).toBeGreaterThan(5)
    }
  })

  it.each(named('translate'))('ids of %s are those of west, and nothing else of a record is changed', async name => {
    const service = serviceOf(name)
    for (const [topic, records] of await service.readAll()) {
      const sent = service.sent.get(topic) ?? []
      const inHeaders = service.kinds.get(topic)?.headers === true
      for (const [index, { key, value, headers }] of records.entries()) {
        const before = sent[index]
        if (before === undefined) throw new Error(`${topic}: more than was sent`)
        expect(headers).toEqual(before.headers ?? {})
        if (inHeaders) expect(value).toEqual(before.bytes)
        if (inHeaders) continue
        expect(value.subarray(5)).toEqual(before.bytes.subarray(5))
        // What was written on west has its ids.
        if (index >= COPIED) continue
        expect(idOf(value)).not.toBe(idOf(before.bytes))
        expect(idOf(value)).toBe(service.targetIds.get(idOf(before.bytes)))
        if (before.key && key) expect(idOf(key)).toBe(service.targetIds.get(idOf(before.key.bytes)))
      }
      if (inHeaders) continue
      for (const id of new Set(records.map(({ value }) => idOf(value)))) {
        // Often its own; one id of the same content in two subjects may have come by the other one.
        expect(await usesOf(service.scenario.west.url, id)).not.toEqual([])
      }
    }
  })

  it.each(named('preserve'))('nothing of the registry of %s is left in IMPORT', async name => {
    const { url } = serviceOf(name).scenario.west
    const subjects = (await (await fetch(`${url}/subjects?deleted=true`)).json()) as string[]
    expect(subjects.filter(subject => subject.startsWith(':.twinlog:'))).toEqual([])
    for (const scope of ['', ...subjects.map(subject => `/${encodeURIComponent(subject)}`)]) {
      const answer = await (await fetch(`${url}/mode${scope}?defaultToGlobal=true`)).json()
      expect(answer).toEqual({ mode: 'READWRITE' })
    }
  })
})

/** So that ids of the two registries differ. */
async function occupy(url: string, count: number): Promise<void> {
  const register = async (n: number) => {
    const schema = { type: 'record', name: `Stranger${n}`, fields: [{ name: 'x', type: 'string' }] }
    const response = await fetch(`${url}/subjects/stranger-${n}/versions`, {
      method: 'POST',
      headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
      body: JSON.stringify({ schema: JSON.stringify(schema) })
    })
    expect(response.status, await response.text()).toBe(200)
  }
  await Promise.all(Array.from({ length: count }, (_unused, n) => register(n)))
}

async function usesOf(url: string, id: number): Promise<string[]> {
  const uses = (await (await fetch(`${url}/schemas/ids/${id}/versions`)).json()) as { subject: string }[]
  return uses.map(({ subject }) => subject)
}

/** A consumer may handle a record twice over a failover, in whichever order its partitions come. */
function bySequence(values: readonly unknown[]): unknown[] {
  const unique = new Map((values as { seq: number }[]).map(value => [value.seq, value]))
  return [...unique.values()].sort((a, b) => a.seq - b.seq)
}
