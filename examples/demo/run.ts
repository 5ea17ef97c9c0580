/**
 * Two real Kafka clusters, a Mirror behind 200 ms of delay, two services. One makes a planned switchover in mid-stream; then east
 * dies in mid-stream and the other one fails over. Afterwards a Java consumer reads both clusters and the witnesses are counted.
 *
 *   npm run demo                              SIGKILL
 *   npm run demo -- --cluster-down=freeze     SIGSTOP: connections hang, nothing refuses; thawed for the verdict
 *   npm run demo -- --short                   a third of the time, for the test suite
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { forgetDirectory, watchDirectory } from '../../test/support/children.js'
import { type KafkaCluster, startKafka } from '../../test/support/kafka.js'
import { type Oracle, startOracle } from '../../test/support/oracle.js'
import { DemoProcess } from './children.js'
import type { Report } from './protocol.js'
import { type Row, LiveTable } from './table.js'
import { idsOf, judge, lines, missingOnEither, type MoveEvidence } from './verdict.js'

const { values } = parseArgs({
  options: { 'cluster-down': { type: 'string', default: 'kill' }, short: { type: 'boolean', default: false } }
})
const down = values['cluster-down']
if (down !== 'kill' && down !== 'freeze') {
  process.stderr.write(`--cluster-down must be kill or freeze, not ${down}\n`)
  process.exit(2)
}
const pace = values.short ? 0.35 : 1
const services = ['delays', 'distances'] as const
const directory = mkdtempSync(join(tmpdir(), 'twinlog-demo-'))
// Removed however this process ends, Ctrl-C and SIGKILL included.
watchDirectory(directory)
const children: DemoProcess[] = []
let clusters: KafkaCluster[] = []
let oracle: Oracle | undefined
let table: LiveTable | undefined

process.once('SIGINT', () => {
  void cleanUp().finally(() => process.exit(130))
})

try {
  process.exitCode = await main()
} catch (error) {
  table?.stop()
  process.stderr.write(`demo failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exitCode = 1
} finally {
  await cleanUp()
}

async function main(): Promise<number> {
  process.stdout.write('starting two Kafka clusters (the first time, Kafka itself is downloaded)\n')
  const [east, west, judgeOfAll] = await Promise.all([
    startKafka({ name: 'east' }),
    startKafka({ name: 'west' }),
    startOracle()
  ])
  clusters = [east, west]
  oracle = judgeOfAll
  for (const service of services)
    await oracle.createTopic({ cluster: east.bootstrap, topic: topicOf(service), partitions: 3 })
  const demoClusters = [
    { alias: 'east', brokers: east.bootstrap },
    { alias: 'west', brokers: west.bootstrap }
  ]
  const mirror = child('mirror', './mirror.ts', {
    source: demoClusters[0],
    target: demoClusters[1],
    topics: services.map(topicOf),
    latencyMs: 200
  })
  await ready(mirror)
  const rows: Row[] = services.map(service => {
    const start = (role: 'producer' | 'consumer', number: number) =>
      child(`${service} ${role} ${number}`, './service.ts', {
        role,
        service,
        instanceId: `${role}-${number}`,
        topic: topicOf(service),
        groupId: service,
        clusters: demoClusters,
        witness: witnessOf(service, role, number),
        recordsPerSecond: 800
      })
    return { service, producer: start('producer', 1), consumers: [start('consumer', 1), start('consumer', 2)] }
  })
  table = new LiveTable(rows, mirror)
  await Promise.all(rows.flatMap(row => [row.producer, ...row.consumers]).map(ready))
  const [planned, surprised] = rows as [Row, Row]
  table.step('everything runs on east')
  await sleep(8_000 * pace)

  table.step(`service ${planned.service}: planned switchover to west, in mid-stream`)
  const switchover = await move(planned, 'switchover', 30_000)
  table.step(
    `service ${planned.service} works on west after ${switchover.rtoMs} ms; ${surprised.service} never noticed`
  )
  await sleep(5_000 * pace)

  await busy(surprised.producer)
  if (down === 'kill') await east.brokers[0]?.kill()
  else east.brokers[0]?.freeze()
  table.step(`cluster east is gone (${down === 'kill' ? 'SIGKILL' : 'SIGSTOP: connections hang, nothing refuses'})`)
  await sleep(1_000)
  table.step(`service ${surprised.service}: failover to west`)
  const failover = await move(surprised, 'failover', 60_000)
  table.step(`service ${surprised.service} works on west after ${failover.rtoMs} ms`)
  await sleep(5_000 * pace)

  table.step('the producers stop, the consumers finish')
  for (const row of rows) row.producer.send({ type: 'quiet' })
  await settled(rows)
  await Promise.all(rows.map(row => row.producer.stop()))
  if (down === 'freeze') {
    const before = await oracle.count({ cluster: west.bootstrap, topic: topicOf(surprised.service) })
    table.step('east is thawed while its mirror still runs: nothing of it may reach west any more')
    east.brokers[0]?.thaw()
    await sleep(6_000)
    const after = await oracle.count({ cluster: west.bootstrap, topic: topicOf(surprised.service) })
    if (after.total !== before.total)
      throw new Error(`after the thaw ${after.total - before.total} more records appeared on west`)
  }
  await Promise.all(rows.flatMap(row => row.consumers).map(consumer => consumer.stop()))
  await mirror.stop()
  if (down === 'kill') {
    table.step('east is started again, only for the verdict')
    await east.brokers[0]?.start()
  }
  table.stop()
  return verdict(east, west, switchover, failover)
}

async function verdict(
  east: KafkaCluster,
  west: KafkaCluster,
  switchover: MoveEvidence,
  failover: MoveEvidence
): Promise<number> {
  if (!oracle) throw new Error('no oracle')
  const of = (service: string, evidence: MoveEvidence) => ({
    oracle: oracle as Oracle,
    east: east.bootstrap,
    west: west.bootstrap,
    topic: topicOf(service),
    producer: witnessOf(service, 'producer', 1),
    consumers: [1, 2].map(number => witnessOf(service, 'consumer', number)),
    evidence
  })
  const planned = await judge(of(services[0], switchover))
  const surprised = await judge(of(services[1], failover))
  const flat = async (cluster: string[]) =>
    new Set([...(await idsOf(oracle as Oracle, cluster, topicOf(services[0]))).values()].flat())
  const handled = new Set([1, 2].flatMap(number => lines(witnessOf(services[0], 'consumer', number))))
  const missing = missingOnEither(await flat(east.bootstrap), await flat(west.bootstrap), handled).length
  const problems = [...planned.problems, ...surprised.problems]
  if (surprised.lostOnSource === 0)
    problems.push('nothing was lost on east, so this run proves nothing about the ledger')
  if (planned.lostOnSource > 0)
    problems.push(`the planned switchover lost ${planned.lostOnSource} acknowledged records`)
  if (missing > planned.missing) problems.push(`${missing} records of the planned switchover were never handled`)
  for (const problem of problems) process.stdout.write(`PROBLEM: ${problem}\n`)
  process.stdout.write(`ledger of the failover: ${failover.ledger.note}\n`)
  const result = {
    mirrored: planned.mirrored + surprised.mirrored,
    switchover: { duplicates: planned.duplicates, missing, rtoMs: switchover.rtoMs },
    failover: {
      duplicates: surprised.duplicates,
      missing: surprised.missing,
      lostOnSource: surprised.lostOnSource,
      inDoubt: surprised.inDoubt,
      ledgerMatches: surprised.ledgerMatches,
      rtoMs: failover.rtoMs
    }
  }
  process.stdout.write(`${JSON.stringify(result)}\n`)
  return problems.length === 0 ? 0 : 1
}

/** Acknowledgements are coming in: what the mirror has not fetched yet is then lost with the cluster. */
async function busy(producer: DemoProcess): Promise<void> {
  const acknowledged = () => producer.progress?.count ?? 0
  for (const end = Date.now() + 10_000; Date.now() < end; ) {
    const before = acknowledged()
    await sleep(300)
    if (acknowledged() - before >= 100) return
  }
}

async function move(row: Row, kind: 'switchover' | 'failover', timeoutMs: number): Promise<MoveEvidence> {
  const mover = row.consumers[0] as DemoProcess
  const answer = mover.next(timeoutMs)
  mover.send({ type: 'move', kind, to: 'west' })
  const report = await answer
  if (report.type !== 'moved')
    throw new Error(`${kind} of ${row.service}: ${report.type === 'failed' ? report.message : report.type}`)
  return report.evidence as unknown as MoveEvidence
}

/** Nobody has handled anything new for a while. */
async function settled(rows: Row[]): Promise<void> {
  const total = () =>
    rows.flatMap(row => row.consumers).reduce((sum, consumer) => sum + (consumer.progress?.count ?? 0), 0)
  let last = -1
  let since = Date.now()
  const deadline = Date.now() + 30_000
  while (Date.now() - since < 3_000 && Date.now() < deadline) {
    if (total() !== last) since = Date.now()
    last = total()
    await sleep(100)
  }
}

function child(name: string, script: string, options: object): DemoProcess {
  const started = new DemoProcess(name, script, options)
  children.push(started)
  return started
}

async function ready(started: DemoProcess): Promise<void> {
  const answer: Report = await started.next(60_000)
  if (answer.type !== 'ready') throw new Error(`${started.name} answered ${answer.type} instead of ready`)
}

function topicOf(service: string): string {
  return `flights.${service}`
}

function witnessOf(service: string, role: string, number: number): string {
  return join(directory, `${service}-${role}-${number}.txt`)
}

async function cleanUp(): Promise<void> {
  table?.stop()
  for (const started of children) started.kill()
  await Promise.allSettled([oracle?.close(), ...clusters.map(cluster => cluster.stop())])
  rmSync(directory, { recursive: true, force: true })
  forgetDirectory(directory)
}
