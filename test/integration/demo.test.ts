import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { type ScriptResult, runScript } from '../support/run-script.js'
import { eventually } from './bed.js'

const TIMEOUT_MS = 150_000
/** Processes are told by their environment in /proc. */
const LINUX = process.platform === 'linux'

interface Verdict {
  mirrored: number
  switchover: { duplicates: number; missing: number; rtoMs: number }
  failover: {
    duplicates: number
    missing: number
    lostOnSource: number
    inDoubt: number
    ledgerMatches: boolean
    rtoMs: number
  }
}

describe('the demo, in its short form', () => {
  it('survives the death of a cluster', { timeout: TIMEOUT_MS + 10_000 }, async () => {
    await expectProof(['--short'])
  })

  it('survives a cluster that hangs and comes back', { timeout: TIMEOUT_MS + 10_000 }, async () => {
    await expectProof(['--short', '--cluster-down=freeze'])
  })
})

async function expectProof(args: string[]): Promise<void> {
  // Children and JVMs inherit it, whatever session or parent they end up with.
  const mark = `TWINLOG_DEMO_TEST=${process.pid}-${Date.now()}`
  const [name = '', value = ''] = mark.split('=')
  const run = runScript('examples/demo/run.ts', { args, env: { [name]: value }, timeoutMs: TIMEOUT_MS })
  // Seen while they live, or the look for survivors would prove nothing: the demo, two clusters, the oracle.
  if (LINUX) await Promise.race([run, eventually(() => processesWith(mark).length >= 4)])
  const result = await run
  const verdict = lastLine(result)
  expect(result.code, result.stdout).toBe(0)
  expect(verdict.switchover).toMatchObject({ duplicates: 0, missing: 0 })
  expect(verdict.failover).toMatchObject({ duplicates: 0, missing: 0, ledgerMatches: true })
  expect(verdict.failover.lostOnSource).toBeGreaterThan(0)
  expect(verdict.mirrored).toBeGreaterThan(0)
  if (!LINUX) return
  // The shell that watches over the JVMs needs a moment to notice that it has nothing left to do.
  await eventually(
    () => processesWith(mark).length === 0,
    () => `still alive: ${processesWith(mark).join('; ')}`,
    3_000
  )
}

function lastLine({ stdout, stderr }: ScriptResult): Verdict {
  const line = stdout.trimEnd().split('\n').at(-1) ?? ''
  try {
    return JSON.parse(line) as Verdict
  } catch {
    throw new Error(`the last line is no JSON\n${stdout}\n${stderr}`)
  }
}

/** Whatever became of their parents. */
function processesWith(mark: string): string[] {
  const ids = readdirSync('/proc').filter(name => /^\d+$/.test(name))
  return ids.flatMap(id => {
    try {
      if (!readFileSync(`/proc/${id}/environ`, 'utf8').split('\0').includes(mark)) return []
      return [readFileSync(`/proc/${id}/cmdline`, 'utf8').replaceAll('\0', ' ').slice(0, 200)]
    } catch {
      return []
    }
  })
}
