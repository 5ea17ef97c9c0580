import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type KafkaCluster, startKafka } from '../support/kafka.js'
import { type Oracle, startOracle } from '../support/oracle.js'
import { startFakeRegistry } from '../support/registry/fake.js'
import { repository, runScript } from '../support/run-script.js'

describe('the programs of the documentation', () => {
  let east: KafkaCluster
  let west: KafkaCluster
  let oracle: Oracle
  let env: Record<string, string>

  beforeAll(async () => {
    ;[east, west, oracle] = await Promise.all([
      startKafka({ name: 'east' }),
      startKafka({ name: 'west' }),
      startOracle()
    ])
    env = { EAST_BROKERS: east.bootstrap.join(','), WEST_BROKERS: west.bootstrap.join(',') }
  })

  afterAll(async () => {
    await Promise.all([oracle?.close(), east?.stop(), west?.stop()])
  })

  const fill = async (topic: string, partitions: number, count: number) => {
    await oracle.createTopic({ cluster: east.bootstrap, topic, partitions })
    await oracle.produce({ cluster: east.bootstrap, topic, count, mixed: true }).done
  }

  const expectCopied = async (topic: string, count: number) => {
    const comparison = await oracle.compare({ source: east.bootstrap, target: west.bootstrap, sourceTopic: topic })
    expect(comparison).toMatchObject({ equal: true, sourceCount: count, targetCount: count })
  }

  it('example 01 copies the topic, prints a row for each partition and ends', async () => {
    await fill('example-01', 2, 3_000)
    const { code, stdout, stderr } = await runScript('examples/01-mirror-one-topic.ts', {
      env: { ...env, TOPIC: 'example-01' }
    })
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout.match(/'example-01'.*'caught-up'/g)).toHaveLength(2)
    expect(stdout).toContain('2 partitions, 0 records behind')
    await expectCopied('example-01', 3_000)
  })

  it('the quick start of the README runs as it is printed there', async () => {
    await fill('orders.eu', 1, 500)
    await fill('payments', 1, 500)
    const directory = mkdtempSync(join(repository, 'test/.quick-start-'))
    try {
      const path = join(directory, 'quick-start.mts')
      writeFileSync(path, quickStart(east.bootstrap, west.bootstrap))
      const { code, stdout, stderr } = await runScript(path)
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      // What console.log makes of it, whichever order its fields have.
      const [translation = ''] = /\{ kind: 'exact'.*\}/.exec(stdout) ?? []
      expect(translation.split(/[{},]/).map(field => field.trim())).toEqual(
        expect.arrayContaining(["kind: 'exact'", "topic: 'payments'", 'partition: 0', 'offset: 5n'])
      )
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
    await expectCopied('orders.eu', 500)
    await expectCopied('payments', 500)
  })

  it('example 02 goes on upon west at exactly the record where the group stopped on east', async () => {
    const topic = 'example-02'
    const { code, stdout, stderr } = await runScript('examples/02-resume-after-failover.ts', {
      env: { ...env, TOPIC: topic }
    })
    // kafkajs writes what it tries again to stderr, so that is no sign of trouble.
    expect(code, stderr).toBe(0)
    const [, onEast, onWest] = /(\d+) handled on east, (\d+) on west: 1000 different orders of 1000/.exec(stdout) ?? []
    expect(Number(onEast) + Number(onWest)).toBe(1_000)
    await expectCopied(topic, 1_000)

    // What the example printed, against the oracle's own answer. The aborted transaction makes the offsets differ.
    const moved = [...stdout.matchAll(/partition (\d+): east (\d+) is west (\d+)/g)].map(([, ...numbers]) => numbers)
    expect(moved.length).toBeGreaterThan(0)
    for (const [partition = '', from = '', to = ''] of moved) {
      const answers = await oracle.resumeOffsets({
        source: east.bootstrap,
        target: west.bootstrap,
        sourceTopic: topic,
        partition: Number(partition)
      })
      expect(BigInt(to)).toBe(answers.at(BigInt(from)))
      expect(BigInt(to)).toBeLessThan(BigInt(from))
    }
    const ends = await oracle.endOffsets({ cluster: west.bootstrap, topic })
    const committed = await oracle.committed({ cluster: west.bootstrap, group: `${topic}-workers` })
    expect(committed.map(({ partition, offset }) => ({ partition, offset })).sort(byPartition)).toEqual(
      ends.map(({ partition, end }) => ({ partition, offset: end })).sort(byPartition)
    )
  })

  it.each(['preserve', 'translate'])('example 03 decodes on west what was encoded on east, ids: %s', async ids => {
    await using eastRegistry = await startFakeRegistry()
    await using westRegistry = await startFakeRegistry()
    // Somebody else's schema is the first one of the registry where the ids will be others.
    const schema = JSON.stringify({ type: 'record', name: 'Stranger', fields: [{ name: 'x', type: 'string' }] })
    await fetch(`${(ids === 'translate' ? westRegistry : eastRegistry).url}/subjects/stranger/versions`, {
      method: 'POST',
      headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
      body: JSON.stringify({ schema })
    })
    const topic = `example-03-${ids}`
    const { code, stdout, stderr } = await runScript('examples/03-schemas.ts', {
      env: { ...env, EAST_REGISTRY: eastRegistry.url, WEST_REGISTRY: westRegistry.url, IDS: ids, TOPIC: topic }
    })
    expect(code, stderr).toBe(0)
    expect(stdout).toContain(
      ids === 'translate' ? 'schemas 1, 2 of east are 2, 3 on west' : 'schemas 2, 3 of east are 2, 3 on west'
    )
    expect(stdout).toContain("100 orders decoded on west, the last one: { item: 'item 49', colour: 'colour 49' }")
    expect(JSON.stringify(westRegistry.dump())).not.toContain('IMPORT')
  })
})

const byPartition = (a: { partition: number }, b: { partition: number }) => a.partition - b.partition

/** The marked block of the README, with our source and our brokers put in. Nothing else may have to change for it to run. */
function quickStart(east: string[], west: string[]): string {
  const readme = readFileSync(join(repository, 'README.md'), 'utf8')
  const blocks = [...readme.matchAll(/<!-- quick-start[^>]*-->\s*```ts[^\n]*\n(.*?)```/gs)]
  expect(blocks, 'README.md needs exactly one block marked <!-- quick-start -->').toHaveLength(1)
  const replacements: [string, string][] = [
    ["from 'twinlog'", `from '${pathToFileURL(join(repository, 'src/index.ts')).href}'`],
    ["'east-1:9092'", east.map(broker => `'${broker}'`).join(', ')],
    ["'west-1:9092'", west.map(broker => `'${broker}'`).join(', ')]
  ]
  return replacements.reduce((code, [printed, here]) => {
    expect(code).toContain(printed)
    return code.replaceAll(printed, here)
  }, blocks[0]?.[1] ?? '')
}
