import { type ChildProcess, spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath, pathToFileURL } from 'node:url'

export const repository = fileURLToPath(new URL('../../', import.meta.url))
const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href

export interface ScriptResult {
  code: number | null
  stdout: string
  stderr: string
  /** Of the script itself. */
  pid: number
}

/** Runs a TypeScript program as a reader of the documentation would; after `timeoutMs` it and all it started are killed. */
export function runScript(
  path: string,
  o: { args?: string[]; env?: Record<string, string>; timeoutMs?: number } = {}
): Promise<ScriptResult> {
  return runNode(['--import', tsx, path, ...(o.args ?? [])], o)
}

export function runNode(
  args: string[],
  o: { cwd?: string; env?: Record<string, string>; timeoutMs?: number } = {}
): Promise<ScriptResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd: o.cwd ?? repository,
      env: { ...process.env, ...o.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true
    })
    // We may be ended in the middle of it, by vitest or by Ctrl-C.
    const onExit = () => killGroup(child)
    process.once('exit', onExit)
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    const timer = setTimeout(() => {
      killGroup(child)
      reject(new Error(`${args.at(-1)} did not end within ${o.timeoutMs} ms\n${stdout}\n${stderr}`))
    }, o.timeoutMs ?? 60_000)
    child.once('error', reject)
    child.once('close', code => {
      clearTimeout(timer)
      process.off('exit', onExit)
      resolve({ code, stdout, stderr, pid: child.pid ?? 0 })
    })
  })
}

function killGroup(child: ChildProcess): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  } catch {
    // All gone already.
  }
}
