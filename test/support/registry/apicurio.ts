import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { forgetDirectory, spawnWatched, watchDirectory } from '../children.js'
import { freePorts } from '../probe.js'
import { apicurioFiles } from './apicurio-files.js'

export { apicurioAvailable, apicurioVersion } from './apicurio-files.js'

/** Confluent's API is below this path, not at the root. */
const apiPath = '/apis/ccompat/v7'

export interface ApicurioOptions {
  /** @defaultValue a free one */
  port?: number | undefined
  /** HTTP basic auth for everything. */
  auth?: { username: string; password: string } | undefined
  /** @defaultValue 256 */
  heapMb?: number | undefined
  /** `throughput` lets the JVM compile as well as it can. @defaultValue `fast-start` */
  jvm?: 'fast-start' | 'throughput' | undefined
  /** Level of the registry; Apicurio's own is NONE. @defaultValue `BACKWARD`, as at Confluent */
  compatibility?: string | undefined
  /** @defaultValue 120000 */
  startTimeoutMs?: number | undefined
}

export interface Apicurio extends AsyncDisposable {
  readonly url: string
  readonly pid: number
  readonly auth: { username: string; password: string } | undefined
  logTail(lines?: number): string
  /** Kills it and removes what it left. */
  close(): Promise<void>
}

/** Starts a real Apicurio Registry with an empty store in memory, on a free loopback port. */
export async function startApicurio(o: ApicurioOptions = {}): Promise<Apicurio> {
  const { home, java } = await apicurioFiles()
  const directory = mkdtempSync(join(tmpdir(), 'twinlog-apicurio-'))
  watchDirectory(directory)
  const [free = 0, management = 0] = await freePorts(2)
  const port = o.port ?? free
  const logFile = join(directory, 'registry.log')
  // Its libraries are found beside the jar, wherever it is started.
  const jar = join(home, 'quarkus-run.jar')
  const child = spawnWatched(
    java,
    [...jvmFlags(o, directory), ...settings(o, port, management, directory), '-jar', jar],
    {
      logFile
    }
  )
  const gone = ended(child)
  const logTail = (lines = 30): string =>
    existsSync(logFile) ? readFileSync(logFile, 'utf8').split('\n').slice(-lines).join('\n') : '(no log)'
  const close = async (): Promise<void> => {
    child.kill('SIGKILL')
    // The child does not hold the event loop, but somebody who waits for its end does.
    const hold = setInterval(() => undefined, 1000)
    await gone.promise
    clearInterval(hold)
    rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
    forgetDirectory(directory)
  }
  const url = `http://127.0.0.1:${port}${apiPath}`
  const headers = o.auth === undefined ? {} : { authorization: basicAuth(o.auth) }
  try {
    const deadline = Date.now() + (o.startTimeoutMs ?? 120_000)
    while (!(await answers(`${url}/subjects`, headers))) {
      if (gone.yes) throw new Error(`Apicurio ended while starting.\n${logTail()}`)
      if (Date.now() > deadline) throw new Error(`Apicurio was not ready in time.\n${logTail()}`)
      await sleep(100)
    }
    const compatibility = o.compatibility ?? 'BACKWARD'
    const response = await fetch(`${url}/config`, {
      method: 'PUT',
      headers: { ...headers, 'content-type': 'application/vnd.schemaregistry.v1+json' },
      body: JSON.stringify({ compatibility })
    })
    if (!response.ok) throw new Error(`Apicurio refused the level ${compatibility}: ${await response.text()}`)
  } catch (error) {
    await close()
    throw error
  }
  return { url, pid: child.pid ?? 0, auth: o.auth, logTail, close, [Symbol.asyncDispose]: close }
}

function jvmFlags(o: ApicurioOptions, directory: string): string[] {
  const heapMb = o.heapMb ?? 256
  const profile =
    o.jvm === 'throughput' ? ['-XX:+UseParallelGC'] : ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xshare:auto']
  return [`-Xmx${heapMb}m`, ...profile, '-XX:-UsePerfData', `-Djava.io.tmpdir=${directory}`]
}

function settings(o: ApicurioOptions, port: number, management: number, directory: string): string[] {
  const properties: Record<string, string> = {
    'quarkus.http.host': '127.0.0.1',
    'quarkus.http.port': String(port),
    // Otherwise every instance wants 0.0.0.0:9000.
    'quarkus.management.host': '127.0.0.1',
    'quarkus.management.port': String(management),
    'apicurio.storage.kind': 'sql',
    'apicurio.storage.sql.kind': 'h2',
    'apicurio.datasource.url': `jdbc:h2:mem:registry${port}`,
    'apicurio.storage.snapshot.location': directory,
    'apicurio.import.work-dir': directory,
    // Otherwise GET /subjects ends after 1,000.
    'apicurio.ccompat.max-subjects': '100000',
    'quarkus.http.access-log.enabled': 'false',
    'quarkus.log.level': 'WARN',
    'quarkus.log.category.\"io.apicurio\".level': 'WARN',
    'quarkus.otel.sdk.disabled': 'true'
  }
  if (o.auth !== undefined) {
    const { username, password } = o.auth
    properties['quarkus.http.auth.basic'] = 'true'
    properties['quarkus.security.users.embedded.plain-text'] = 'true'
    properties[`quarkus.security.users.embedded.users.${username}`] = password
    properties[`quarkus.security.users.embedded.roles.${username}`] = 'sr-admin'
    properties['quarkus.http.auth.permission.all.paths'] = '/apis/*'
    properties['quarkus.http.auth.permission.all.policy'] = 'authenticated'
  }
  return Object.entries(properties).map(([key, value]) => `-D${key}=${value}`)
}

function ended(child: ChildProcess): { yes: boolean; promise: Promise<void> } {
  const state = { yes: false, promise: Promise.resolve() }
  state.promise = new Promise(resolve => {
    const gone = (): void => {
      state.yes = true
      resolve()
    }
    child.once('exit', gone)
    child.once('error', gone)
  })
  return state
}

async function answers(url: string, headers: Record<string, string>): Promise<boolean> {
  try {
    const response = await fetch(url, { headers, signal: AbortSignal.timeout(5000) })
    await response.text()
    return response.ok
  } catch {
    return false
  }
}

function basicAuth({ username, password }: { username: string; password: string }): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}
