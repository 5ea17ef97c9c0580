import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { setTimeout as sleep } from 'node:timers/promises'

const run = promisify(execFile)
const here = dirname(fileURLToPath(import.meta.url))
const dependencyPlugin = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1'
const dockerImage = 'apache/kafka:4.1.0'

/** Everything that a JVM of the test bed needs: Kafka's jars and our own classes (java/ and oracle/), compiled. */
export interface JavaBed {
  classPath: string
  origin: 'KAFKA_HOME' | 'maven' | 'docker'
}

/** Outside the tree, so that a fresh clone and a `git clean` do not download Kafka again. */
export function cacheRoot(): string {
  const base =
    process.env.TWINLOG_TEST_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'twinlog')
  mkdirSync(base, { recursive: true })
  return base
}

let resolved: Promise<JavaBed> | undefined

/** The class path, resolved and compiled once per machine: `KAFKA_HOME`, then Maven, then a docker image. */
export function javaBed(): Promise<JavaBed> {
  resolved ??= resolve()
  return resolved
}

async function resolve(): Promise<JavaBed> {
  const { jars, origin } = await kafkaJars()
  return { classPath: `${await compile(jars)}:${jars}`, origin }
}

async function kafkaJars(): Promise<{ jars: string; origin: JavaBed['origin'] }> {
  const home = process.env.KAFKA_HOME
  if (home !== undefined && home !== '') {
    const libs = join(home, 'libs')
    if (!existsSync(libs)) throw new Error(`KAFKA_HOME is ${home}, but there is no directory ${libs}`)
    return { jars: jarsIn(libs), origin: 'KAFKA_HOME' }
  }
  const pom = join(here, 'pom.xml')
  const directory = join(cacheRoot(), `kafka-${digest(readFileSync(pom))}`)
  const tried: string[] = ['KAFKA_HOME is not set']
  const cached = readCached(directory)
  if (cached !== undefined) return cached
  return withLock(`${directory}.lock`, async () => {
    const meanwhile = readCached(directory)
    if (meanwhile !== undefined) return meanwhile
    for (const origin of ['maven', 'docker'] as const) {
      try {
        const jars = origin === 'maven' ? await fromMaven(pom, directory) : await fromDocker(directory)
        writeAtomically(join(directory, 'classpath.json'), JSON.stringify({ jars, origin }))
        return { jars, origin }
      } catch (error) {
        tried.push(`${origin}: ${String(error instanceof Error ? error.message : error).slice(0, 600)}`)
      }
    }
    throw new Error(
      `No Apache Kafka for the tests. Install Java 17+ and Maven (the jars come from Maven Central), or unpack Kafka 4.1.0 and set KAFKA_HOME.\n${tried.join('\n')}`
    )
  })
}

function readCached(directory: string): { jars: string; origin: JavaBed['origin'] } | undefined {
  const file = join(directory, 'classpath.json')
  if (!existsSync(file)) return undefined
  const cached = JSON.parse(readFileSync(file, 'utf8')) as { jars: string; origin: JavaBed['origin'] }
  // Somebody may have emptied ~/.m2 since.
  return cached.jars.split(':').every(jar => existsSync(jar)) ? cached : undefined
}

async function fromMaven(pom: string, directory: string): Promise<string> {
  mkdirSync(directory, { recursive: true })
  const output = join(directory, 'maven.txt')
  await run(
    'mvn',
    [
      '-q',
      '-B',
      '-f',
      pom,
      `${dependencyPlugin}:build-classpath`,
      `-Dmdep.outputFile=${output}`,
      '-DincludeScope=runtime'
    ],
    { timeout: 600_000 }
  )
  return readFileSync(output, 'utf8').trim()
}

/** UNTESTED: no container engine was at hand when this was written. Takes the jars out of the image; a JVM is still needed here. */
async function fromDocker(directory: string): Promise<string> {
  mkdirSync(directory, { recursive: true })
  const { stdout } = await run('docker', ['create', dockerImage], { timeout: 600_000 })
  const container = stdout.trim()
  try {
    await run('docker', ['cp', `${container}:/opt/kafka/libs`, directory], { timeout: 600_000 })
  } finally {
    await run('docker', ['rm', '-f', container])
  }
  return jarsIn(join(directory, 'libs'))
}

function jarsIn(directory: string): string {
  const jars = readdirSync(directory).filter(name => name.endsWith('.jar'))
  return jars.map(name => join(directory, name)).join(':')
}

async function compile(jars: string): Promise<string> {
  const sources = ['java', 'oracle'].flatMap(folder =>
    existsSync(join(here, folder))
      ? readdirSync(join(here, folder))
          .filter(name => name.endsWith('.java'))
          .map(name => join(here, folder, name))
      : []
  )
  const classes = join(cacheRoot(), `classes-${digest(jars, ...sources.map(file => readFileSync(file)))}`)
  if (existsSync(classes)) return classes
  return withLock(`${classes}.lock`, async () => {
    if (existsSync(classes)) return classes
    const building = `${classes}.${process.pid}`
    rmSync(building, { recursive: true, force: true })
    mkdirSync(building, { recursive: true })
    try {
      await run('javac', ['-nowarn', '-cp', jars, '-d', building, ...sources], { timeout: 120_000 })
      renameSync(building, classes)
    } catch (error) {
      rmSync(building, { recursive: true, force: true })
      throw new Error('The Java part of the test bed does not compile. A JDK 17 or newer must be on the PATH.', {
        cause: error
      })
    }
    return classes
  })
}

function digest(...parts: (string | Buffer)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part).update('\0')
  return hash.digest('hex').slice(0, 16)
}

function writeAtomically(file: string, text: string): void {
  writeFileSync(`${file}.${process.pid}`, text)
  renameSync(`${file}.${process.pid}`, file)
}

/** A lock file with the owner's pid: one whose owner is dead is taken over. */
export async function withLock<T>(file: string, work: () => Promise<T>): Promise<T> {
  for (let first = true; ; first = false) {
    try {
      writeFileSync(file, String(process.pid), { flag: 'wx' })
      break
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      if (ownerIsDead(file)) rmSync(file, { force: true })
      else await sleep(first ? 20 : 200)
    }
  }
  try {
    return await work()
  } finally {
    rmSync(file, { force: true })
  }
}

function ownerIsDead(file: string): boolean {
  try {
    const pid = Number(readFileSync(file, 'utf8'))
    // Written a moment after it was created: an empty file belongs to somebody alive.
    if (pid === 0) return false
    if (pid === process.pid) return false
    process.kill(pid, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}
