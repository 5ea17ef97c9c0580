import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import * as source from '../../src/index.js'
import { repository, runNode } from '../support/run-script.js'

const run = promisify(execFile)
const VALUES = [
  'FailoverClient',
  'InvalidOptionError',
  'Mirror',
  'OffsetTranslator',
  'SchemaSync',
  'subjectRename',
  'TWINLOG_ERROR_CODES',
  'TwinlogError'
]
const MB = 1_000_000

interface PackResult {
  filename: string
  size: number
  unpackedSize: number
  files: { path: string; size: number }[]
}

describe('the public list, src/index.ts', () => {
  it('has one name a line, in alphabetical order, types apart', () => {
    const { values, types } = publicNames()
    expect(values).toEqual(alphabetical(values))
    expect(types).toEqual(alphabetical(types))
    const lines = readFileSync(join(repository, 'src/index.ts'), 'utf8').trimEnd().split('\n')
    const gap = lines.indexOf('')
    expect(lines.slice(0, gap).every(line => /^export \{ \w+ \} from /.test(line))).toBe(true)
    expect(lines.slice(gap + 1).every(line => /^export type \{ \w+ \} from /.test(line))).toBe(true)
  })

  it('exports these names and no others', () => {
    expect(Object.keys(source).sort()).toEqual([...VALUES].sort())
    expect(publicNames().values).toEqual(VALUES)
    expect(publicNames().types).toMatchInlineSnapshot(`
      [
        "CallOptions",
        "ClusterConfig",
        "CreateTopicsOptions",
        "Evidence",
        "EvidenceStep",
        "FailoverConsumer",
        "FailoverDecodeOptions",
        "FailoverEvents",
        "FailoverOptions",
        "FailoverProducer",
        "FailoverProducerConfig",
        "FailoverRegisterOptions",
        "FailoverSchemaRegistry",
        "FailoverState",
        "ForcedMoveOptions",
        "GroupTranslation",
        "GroupTranslationPartition",
        "Isolation",
        "LaneGuard",
        "LaneStateName",
        "LaneStatus",
        "LimitOptions",
        "Logger",
        "MirrorEvents",
        "MirrorOptions",
        "MirrorRecord",
        "MirrorStatus",
        "OffsetSnapshot",
        "OffsetTranslatorOptions",
        "Pattern",
        "Position",
        "PreflightReport",
        "RecordErrorPolicy",
        "RegistryConfig",
        "SchemaConflict",
        "SchemaConflictKind",
        "SchemaDifference",
        "SchemaDifferenceKind",
        "SchemaDrift",
        "SchemaGateSource",
        "SchemaPlan",
        "SchemasOptions",
        "SchemaSyncEvents",
        "SchemaSyncOptions",
        "SchemaSyncReport",
        "SchemaSyncStatus",
        "SchemaTimeoutPolicy",
        "Selector",
        "StartOption",
        "SubjectDrift",
        "SubjectRenameOptions",
        "SwitchoverOptions",
        "Transform",
        "TransformContext",
        "Translation",
        "TranslatorEvents",
        "TwinlogErrorCode",
        "TwinlogErrorContext",
        "Watermarks",
      ]
    `)
  })
})

describe('the package as it is published', () => {
  let directory: string
  let packed: PackResult
  /** A project that has installed the tarball. */
  let consumer: string

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'twinlog-package-'))
    // A copy is built, so that nobody's dist/ is pulled away from under them.
    const copy = join(directory, 'repository')
    mkdirSync(copy)
    for (const name of [
      'package.json',
      'tsconfig.json',
      'tsup.config.ts',
      'README.md',
      'CHANGELOG.md',
      'LICENSE',
      'src'
    ])
      cpSync(join(repository, name), join(copy, name), { recursive: true })
    link(join(repository, 'node_modules'), join(copy, 'node_modules'))
    await npm(copy, 'run', 'build')
    const { stdout } = await npm(copy, 'pack', '--json', '--ignore-scripts', '--pack-destination', directory)
    ;[packed] = JSON.parse(stdout) as [PackResult]

    consumer = join(directory, 'consumer')
    const installed = join(consumer, 'node_modules/twinlog')
    mkdirSync(installed, { recursive: true })
    await run('tar', ['-xzf', join(directory, packed.filename), '--strip-components=1', '-C', installed])
    // What the package declares and nothing else: an import of anything undeclared fails here.
    const { dependencies } = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>
    }
    for (const name of [...Object.keys(dependencies), '@types/node'])
      link(join(repository, 'node_modules', name), join(consumer, 'node_modules', name))
  }, 400_000)

  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  const write = (name: string, text: string): string => {
    writeFileSync(join(consumer, name), text)
    return join(consumer, name)
  }

  it('holds the builds and their types, readme, licence and changelog, and stays small', () => {
    const paths = packed.files.map(file => file.path)
    const builds = ['dist/index.cjs', 'dist/index.d.cts', 'dist/index.d.ts', 'dist/index.js']
    const texts = ['CHANGELOG.md', 'LICENSE', 'README.md', 'package.json']
    expect(paths.filter(path => !path.endsWith('.map')).sort()).toEqual([...texts, ...builds].sort())
    const code = packed.files.filter(file => !file.path.endsWith('.map')).reduce((sum, file) => sum + file.size, 0)
    expect(code).toBeLessThan(3 * MB)
    expect(packed.unpackedSize).toBeLessThan(9 * MB)
    expect(packed.size).toBeLessThan(2 * MB)
  })

  it('carries no code of others but p-retry, and that only in CommonJS', () => {
    expect(foreignCode('dist/index.js')).toEqual([])
    expect(foreignCode('dist/index.cjs')).toEqual(['is-network-error', 'p-retry'])
  })

  it('can be imported, and its first call reaches for the network', async () => {
    const script = write('import.mjs', `import * as twinlog from 'twinlog'\n${firstCall}`)
    expect(await output(script)).toEqual({ names: [...VALUES].sort(), code: 'TWINLOG_UNREACHABLE' })
  })

  it('can be required, also where require() of ES modules does not exist', async () => {
    const script = write('require.cjs', `const twinlog = require('twinlog')\n${firstCall}`)
    const flag = '--no-experimental-require-module'
    expect(await output(script, flag)).toEqual({ names: [...VALUES].sort(), code: 'TWINLOG_UNREACHABLE' })
    // The flag does what this test needs it for.
    const probe = await runNode([flag, write('probe.cjs', "require('p-retry')")])
    expect(probe.stderr).toContain('ERR_REQUIRE_ESM')
  })

  it('knows its errors across both copies in one process', async () => {
    const script = write(
      'both.mjs',
      `import { createRequire } from 'node:module'
       import * as esm from 'twinlog'
       const cjs = createRequire(import.meta.url)('twinlog')
       const judge = (maker, judged) => [
         new maker.TwinlogError('TWINLOG_TIMEOUT', 'late') instanceof judged.TwinlogError,
         new maker.InvalidOptionError('mirror', 'wrong') instanceof judged.TwinlogError,
         new maker.InvalidOptionError('mirror', 'wrong') instanceof judged.InvalidOptionError,
         new maker.TwinlogError('TWINLOG_TIMEOUT', 'late') instanceof judged.InvalidOptionError,
         new Error('other') instanceof judged.TwinlogError
       ]
       console.log(JSON.stringify([esm.TwinlogError === cjs.TwinlogError, judge(esm, cjs), judge(cjs, esm)]))`
    )
    const expected = [true, true, true, false, false]
    expect(await output(script)).toEqual([false, expected, expected])
  })

  it.each([
    ['Node, ES module and CommonJS', ['consumer.mts', 'consumer.cts'], { module: 'node16' }],
    ['bundlers', ['consumer.ts'], { module: 'esnext', moduleResolution: 'bundler' }]
  ])('type-checks in a strict project for %s', { timeout: 120_000 }, async (_name, files, moduleOptions) => {
    for (const file of files) write(file, typedConsumer())
    const compilerOptions = { strict: true, noEmit: true, target: 'es2022', lib: ['es2023'], types: ['node'] }
    const project = write(
      'tsconfig.json',
      JSON.stringify({ compilerOptions: { ...compilerOptions, ...moduleOptions }, files })
    )
    const { code, stdout } = await runNode([join(repository, 'node_modules/typescript/bin/tsc'), '-p', project], {
      timeoutMs: 115_000
    })
    // Declarations are checked too (no skipLibCheck), ours and those they lean on; mappersmith's, below the registry client, want a DOM.
    const problems = stdout.split('\n').filter(line => line.includes('error TS') && !line.includes('/mappersmith/'))
    expect(problems).toEqual([])
    expect([0, 2], stdout).toContain(code)
  })

  function foreignCode(path: string): string[] {
    const text = readFileSync(join(consumer, 'node_modules/twinlog', path), 'utf8')
    // esbuild heads each module that it inlines with its path.
    const found = [...text.matchAll(/^\/\/ .*node_modules\/((?:@[^/]+\/)?[^/]+)\//gm)].map(([, name = '']) => name)
    return [...new Set(found)].sort()
  }

  async function output(script: string, ...flags: string[]): Promise<unknown> {
    const { code, stdout, stderr } = await runNode([...flags, script])
    expect(code, stderr).toBe(0)
    return JSON.parse(stdout)
  }
})

/** Needs the socket factory and the retries, which come from packages. Nobody listens on port 1. */
const firstCall = `
const cluster = alias => ({ alias, brokers: ['127.0.0.1:1'], logLevel: 0, retry: { retries: 0 } })
const quiet = () => undefined
const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }
const mirror = new twinlog.Mirror({ source: cluster('east'), target: cluster('west'), topics: 'orders', logger })
mirror.start().catch(error => {
  console.log(JSON.stringify({ names: Object.keys(twinlog).filter(name => name !== 'default').sort(), code: error.code }))
})
`

/** Uses every public name. */
function typedConsumer(): string {
  const { types } = publicNames()
  return `
import { ${VALUES.join(', ')} } from 'twinlog'
import type { ${types.join(', ')} } from 'twinlog'

export type Everything = [${types.join(', ')}]

const east: ClusterConfig = { alias: 'east', brokers: ['east-1:9092'], ssl: true }
const west: ClusterConfig = { alias: 'west', brokers: ['west-1:9092'] }

export async function replicate(logger: Logger): Promise<bigint> {
  const mirror = new Mirror({ source: east, target: west, topics: [/orders.*/, 'payments'], logger })
  mirror.on('lane:failed', ({ topic, partition, error }) => logger.error({ topic, partition, code: error.code }, 'failed'))
  await mirror.start()
  const status: MirrorStatus = mirror.status()
  await mirror.stop()
  return status.totals.lagRecords
}

export async function translate(): Promise<bigint | undefined> {
  const translator = new OffsetTranslator({ source: 'east', target: west })
  const answer: Translation = await translator.translate({ topic: 'orders', partition: 0, offset: 5n })
  return answer.kind === 'exact' ? answer.offset : undefined
}

export async function move(): Promise<Evidence> {
  const client = new FailoverClient({ service: 'billing', clusters: [east, west] })
  return client.switchover('west', { maxLagRecords: 100n })
}

export function codeOf(error: unknown): TwinlogErrorCode | undefined {
  if (error instanceof InvalidOptionError) return error.path.length > 0 ? error.code : undefined
  return error instanceof TwinlogError ? error.code : TWINLOG_ERROR_CODES[0]
}

// @ts-expect-error the compiler knows the options
new Mirror({ source: east, target: west, topic: 'orders' })
`
}

function publicNames(): { values: string[]; types: string[] } {
  const text = readFileSync(join(repository, 'src/index.ts'), 'utf8')
  const names = (pattern: RegExp) =>
    [...text.matchAll(pattern)].flatMap(([, list = '']) => list.split(',').map(name => name.trim()))
  return { values: names(/^export \{([^}]*)\}/gm), types: names(/^export type \{([^}]*)\}/gm) }
}

function alphabetical(names: string[]): string[] {
  const key = (name: string) => name.toLowerCase()
  return [...names].sort((a, b) => (key(a) < key(b) ? -1 : 1))
}

function link(target: string, path: string): void {
  mkdirSync(dirname(path), { recursive: true })
  symlinkSync(target, path)
}

function npm(cwd: string, ...args: string[]): Promise<{ stdout: string; stderr: string }> {
  return run('npm', args, { cwd, maxBuffer: 64 * MB, shell: process.platform === 'win32' })
}
