import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'

const run = promisify(execFile)
const module = fileURLToPath(new URL('../../support/registry/apicurio.ts', import.meta.url))
let home: string

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'twinlog-apicurio-files-'))
})

afterEach(() => rmSync(home, { recursive: true }))

/** In a process of its own: what is there is looked at once per process. No Maven and no pip that would work. */
async function available(env: Record<string, string>): Promise<string> {
  const bin = join(home, 'bin')
  mkdirSync(bin)
  for (const tool of ['mvn', 'python3']) writeFileSync(join(bin, tool), '#!/bin/sh\nexit 1\n', { mode: 0o755 })
  const script = `import(${JSON.stringify(module)}).then(m => m.apicurioAvailable()).then(b => console.log('answer', b), e => console.log('error', e.message))`
  const { stdout } = await run(process.execPath, ['--import', 'tsx', '-e', script], {
    env: { ...process.env, TWINLOG_TEST_CACHE: join(home, 'cache'), PATH: `${bin}:/bin:/usr/bin`, ...env }
  })
  return stdout
}

describe('Apicurio', () => {
  it('that cannot be had is a reason to skip, which says what is missing', async () => {
    expect(await available({ CI: '' })).toMatch(/^answer .*(Is Maven installed|Java 21 or newer is needed)/)
  })

  it('that cannot be had is an error in CI', async () => {
    expect(await available({ CI: 'true' })).toMatch(/^error CI needs Apicurio Registry: /)
  })
})
