/** One process of a demo service: it replays flights into a topic, or computes delays from it. It only knows FailoverClient. */
import { appendFileSync, openSync, readFileSync, writeSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { FailoverClient, TwinlogError } from '../../src/index.js'
import { clusterConfig, onCommand, report, type ServiceOptions, startOptions } from './protocol.js'

interface Flight {
  date: string
  delay: number
  distance: number
  origin: string
  destination: string
}

const options = startOptions<ServiceOptions>()
appendFileSync(options.witness, '')
const witness = openSync(options.witness, 'a')
const client = new FailoverClient({
  clusters: options.clusters.map(clusterConfig),
  active: options.clusters[0]?.alias,
  service: options.service,
  instanceId: options.instanceId
})
let count = 0
let note = ''
let leave: () => Promise<void> = async () => undefined
let quiet = false

onCommand(command => {
  if (command.type === 'quiet') quiet = true
  else if (command.type === 'move') void move(command.kind, command.to)
  else void leave().finally(() => process.exit(0))
})

await client.connect()
if (options.role === 'producer') await produce()
else await consume()
report({ type: 'ready' })
setInterval(() => report({ type: 'progress', count, state: client.state, active: client.active, note }), 250)

async function move(kind: 'switchover' | 'failover', to: string): Promise<void> {
  try {
    const evidence =
      kind === 'switchover'
        ? await client.switchover(to)
        : await client.failover(to, { reason: 'the demo ended the cluster' })
    report({ type: 'moved', evidence: evidence.toJSON() })
  } catch (error) {
    report({ type: 'failed', message: error instanceof Error ? `${error.name}: ${error.message}` : String(error) })
  }
}

/** A continuous stream: flights again and again, each record with an id of its own as key. */
async function produce(): Promise<void> {
  // The package's exports do not name its data files, so the way to them leads over its code in build/.
  const code = createRequire(import.meta.url).resolve('vega-datasets')
  const flights = JSON.parse(readFileSync(join(dirname(code), '..', 'data', 'flights-20k.json'), 'utf8')) as Flight[]
  const producer = client.producer()
  await producer.connect()
  const perTick = Math.max(1, Math.round(options.recordsPerSecond / 40))
  let next = 0
  let unanswered = 0
  const timer = setInterval(() => {
    // A slow cluster is given less, not more; while a move is under way sends simply wait.
    if (quiet || unanswered >= 20) return
    const messages = Array.from({ length: perTick }, () => {
      const id = next++
      return { key: `${options.service}-${id}`, value: JSON.stringify({ id, ...flights[id % flights.length] }) }
    })
    unanswered += 1
    producer.send({ topic: options.topic, messages }).then(
      () => {
        unanswered -= 1
        count += messages.length
        writeSync(witness, messages.map(message => `${message.key}\n`).join(''))
      },
      (error: unknown) => {
        unanswered -= 1
        note = error instanceof TwinlogError ? error.code : String(error)
      }
    )
  }, 25)
  leave = async () => {
    clearInterval(timer)
    await producer.disconnect()
    await client.disconnect()
  }
}

/** Average delay by airport: something that is wrong at once when records repeat or vanish. */
async function consume(): Promise<void> {
  const delays = new Map<string, { flights: number; minutes: number }>()
  const consumer = client.consumer({ groupId: options.groupId, sessionTimeout: 10_000, heartbeatInterval: 500 })
  await consumer.connect()
  await consumer.subscribe({ topics: [options.topic], fromBeginning: true })
  await consumer.run({
    autoCommitInterval: 1_000,
    eachMessage: async ({ message }) => {
      const flight = JSON.parse(message.value?.toString() ?? '{}') as Flight
      const airport = delays.get(flight.origin) ?? { flights: 0, minutes: 0 }
      airport.flights += 1
      airport.minutes += flight.delay
      delays.set(flight.origin, airport)
      const worst = [...delays]
        .filter(([, seen]) => seen.flights > 20)
        .sort((a, b) => b[1].minutes / b[1].flights - a[1].minutes / a[1].flights)[0]
      if (worst) note = `most delayed: ${worst[0]} ${(worst[1].minutes / worst[1].flights).toFixed(1)} min`
      count += 1
      writeSync(witness, `${message.key?.toString() ?? ''}\n`)
    }
  })
  leave = async () => {
    await consumer.disconnect()
    await client.disconnect()
  }
}
