import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const run = promisify(execFile)
const module = fileURLToPath(new URL('../../support/classpath.ts', import.meta.url))
let home: string

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'twinlog-classpath-'))
})

afterEach(() => rmSync(home, { recursive: true }))

/** In a process of its own: the class path is resolved once per process. */
async function resolveWith(env: Record<string, string>): Promise<string> {
  const script = `import(${JSON.stringify(module)}).then(m => m.javaBed()).then(b => console.log(b.origin), e => console.log(e.message))`
  const { stdout } = await run(process.execPath, ['--import', 'tsx', '-e', script], {
    env: { ...process.env, TWINLOG_TEST_CACHE: join(home, 'cache'), ...env }
  })
  return stdout
}

describe('the class path', () => {
  it('of a KAFKA_HOME without libs is an error that names it', async () => {
    expect(await resolveWith({ KAFKA_HOME: home })).toContain(`there is no directory ${join(home, 'libs')}`)
  })

  it('without Maven and docker is an error that says what to install', async () => {
    const bin = join(home, 'bin')
    mkdirSync(bin)
    for (const tool of ['mvn', 'docker']) writeFileSync(join(bin, tool), '#!/bin/sh\nexit 1\n', { mode: 0o755 })
    const message = await resolveWith({ KAFKA_HOME: '', PATH: `${bin}:/bin:/usr/bin` })
    expect(message).toContain('Install Java 17+ and Maven')
    expect(message).toContain('docker:')
  })
})
