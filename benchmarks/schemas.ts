import { fork } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { SchemaSync, type SchemaSyncOptions } from '../src/index.js'
import { createRegistryClient } from '../src/schemas/client/client.js'
import type { RegistryClient, SchemaContent } from '../src/schemas/registry-types.js'
import { inOrder } from '../src/schemas/in-order.js'
import { startApicurio } from '../test/support/registry/apicurio.js'

const CONCURRENCY = 8
const VERSIONS = 3
const logger = { debug() {}, info() {}, warn: console.warn, error: console.error }

interface Registry {
  url: string
  close(): Promise<void>
}

interface Figures {
  registry: string
  ids: 'preserve' | 'translate'
  subjects: number
  bareSeconds: number
  syncSeconds: number
  ratio: number
  requests: { bare: number; first: number; second: number; anotherProcess: number }
  changesOfSecond: number
}

interface Subject {
  name: string
  after: string[]
  versions: SchemaContent[]
}

function startFake(): Promise<Registry> {
  const child = fork(fileURLToPath(new URL('schemas/fake-child.ts', import.meta.url)), {
    execArgv: ['--import', 'tsx']
  })
  return new Promise((resolve, reject) => {
    child.once('exit', code => reject(new Error(`the fake registry ended with ${code}`)))
    child.once('message', message => {
      const close = async () => void child.kill()
      resolve({ url: (message as { url: string }).url, close })
    })
  })
}

/** A quarter of the subjects refers to the one before it. */
function subjectsOf(count: number): Subject[] {
  return Array.from({ length: count }, (_, number) => {
    const name = `topic-${number}-value`
    const other = number % 4 === 3 ? number - 1 : undefined
    const references =
      other === undefined ? [] : [{ name: `bench.T${other}`, subject: `topic-${other}-value`, version: 1 }]
    const versions = Array.from({ length: VERSIONS }, (_unused, version) => {
      const fields = [
        ...Array.from({ length: version + 1 }, (_field, field) => ({ name: `f${field}`, type: 'long', default: 0 })),
        ...references.map(reference => ({ name: 'other', type: ['null', reference.name], default: null }))
      ]
      const schema = JSON.stringify({ type: 'record', namespace: 'bench', name: `T${number}`, fields })
      return { schemaType: 'AVRO', schema, references }
    })
    return { name, after: references.map(({ subject }) => subject), versions }
  })
}

/** The registrations and nothing else, in an order that every reference is there. */
async function bare(client: RegistryClient, subjects: Subject[]): Promise<void> {
  await inOrder(subjects, {
    concurrency: CONCURRENCY,
    run: async ({ name, versions }) => {
      for (const content of versions) await client.register(name, content)
      return true
    },
    blocked: ({ name }) => {
      throw new Error(`${name} could not be registered`)
    }
  })
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now()
  await work()
  return (performance.now() - began) / 1000
}

async function measure(
  o: { registry: string; ids: 'preserve' | 'translate'; count: number },
  start: () => Promise<Registry>
): Promise<Figures> {
  const subjects = subjectsOf(o.count)
  const client = (registry: Registry) => createRegistryClient({ url: registry.url }, { logger })
  const source = await start()
  say(`${o.registry}: filling the source with ${o.count} subjects × ${VERSIONS}`)
  await bare(client(source), subjects)
  const plain = await start()
  const bareClient = client(plain)
  const bareSeconds = await timed(() => bare(bareClient, subjects))
  await plain.close()
  say(`${o.registry}: bare registrations ${bareSeconds.toFixed(1)} s`)
  const target = await start()
  const options: SchemaSyncOptions = {
    source: { url: source.url },
    target: { url: target.url },
    ids: o.ids,
    concurrency: CONCURRENCY,
    logger
  }
  await using sync = new SchemaSync(options)
  const began = performance.now()
  const first = await sync.syncOnce()
  const syncSeconds = (performance.now() - began) / 1000
  if (first.conflicts.length > 0) throw new Error(`${first.conflicts.length} conflicts: ${first.conflicts[0]?.message}`)
  const second = await sync.syncOnce()
  await using other = new SchemaSync(options)
  const anotherProcess = await other.syncOnce()
  await Promise.all([source.close(), target.close()])
  const sum = ({ requests }: typeof first) => requests.source + requests.target
  const figures: Figures = {
    ...o,
    subjects: o.count,
    bareSeconds,
    syncSeconds,
    ratio: syncSeconds / bareSeconds,
    requests: {
      bare: bareClient.requests,
      first: sum(first),
      second: sum(second),
      anotherProcess: sum(anotherProcess)
    },
    changesOfSecond: second.changes + anotherProcess.changes
  }
  say(JSON.stringify(figures))
  return figures
}

function markdown(all: Figures[]): string {
  const rows = all.map(({ registry, ids, subjects, bareSeconds, syncSeconds, ratio, requests, changesOfSecond }) =>
    [
      registry,
      ids,
      `${subjects} × ${VERSIONS}`,
      bareSeconds.toFixed(1),
      syncSeconds.toFixed(1),
      ratio.toFixed(2),
      requests.bare,
      requests.first,
      requests.second,
      requests.anotherProcess,
      changesOfSecond
    ].join(' | ')
  )
  return `# Syncing schemas, beside the bare registrations

Taken ${new Date().toISOString().slice(0, 10)} by \`npm run bench:schemas\` on ${cpus().length} cores, Node.js ${process.version}, ${CONCURRENCY} requests at a time; registries and sync share
the machine. The fake registry is a Node.js process of its own; Apicurio is a real server. "Again" is a second run of the same SchemaSync, "anew" one of a new
SchemaSync: both find nothing to change.

| registry | ids | subjects × versions | bare, s | sync, s | ratio | requests bare | first run | again | anew | changes of again and anew |
|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|
| ${rows.join(' |\n| ')} |
`
}

function say(text: string): void {
  console.error(text)
}

const { values } = parseArgs({
  options: {
    subjects: { type: 'string', default: '2000' },
    only: { type: 'string' },
    out: { type: 'string', default: fileURLToPath(new URL('results', import.meta.url)) }
  }
})
const count = Number(values.subjects)
const figures: Figures[] = []
if (values.only !== 'apicurio') figures.push(await measure({ registry: 'fake', ids: 'preserve', count }, startFake))
if (values.only !== 'fake')
  figures.push(await measure({ registry: 'Apicurio', ids: 'translate', count }, () => startApicurio()))
mkdirSync(values.out, { recursive: true })
writeFileSync(join(values.out, 'schemas.json'), `${JSON.stringify(figures, null, 2)}\n`)
writeFileSync(join(values.out, 'schemas.md'), markdown(figures))
console.log(markdown(figures))
