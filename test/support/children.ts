import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import type { Writable } from 'node:stream'

/**
 * No JVM outlives us, however we end. A shell of its own session keeps the list of what must go and reads it from a pipe: when the pipe
 * ends, because this process did (SIGKILL included), it kills what is left. It reaches frozen JVMs too, which could not watch themselves.
 */
const watcherScript = `
trap '' INT TERM HUP
pids=' '; dirs=''
while IFS=' ' read -r what value; do
  case "$what" in
    pid) pids="$pids$value " ;;
    gone) new=' '; for p in $pids; do [ "$p" = "$value" ] || new="$new$p "; done; pids="$new" ;;
    dir) dirs="$dirs
$value" ;;
    removed) new=''; IFS='
'; for d in $dirs; do [ "$d" = "$value" ] || new="$new
$d"; done; unset IFS; dirs="$new" ;;
  esac
done
for p in $pids; do kill -9 "$p" 2>/dev/null; done
[ -n "$dirs" ] || exit 0
sleep 0.3
IFS='
'
for d in $dirs; do case "$d" in */twinlog-*) rm -rf -- "$d" ;; esac; done
`

let watcher: Writable | undefined

function tell(line: string): void {
  if (watcher === undefined) {
    const shell = spawn('/bin/sh', ['-c', watcherScript], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
    shell.unref()
    watcher = shell.stdin
    ;(watcher as unknown as { unref(): void }).unref()
    watcher.on('error', () => undefined)
  }
  watcher.write(`${line}\n`)
}

/** A directory that goes away with us, at the latest. */
export function watchDirectory(directory: string): void {
  tell(`dir ${directory}`)
}

export function forgetDirectory(directory: string): void {
  tell(`removed ${directory}`)
}

/**
 * Starts a program that cannot outlive this process. Its stdin is a pipe that ends with us; it has a session of its own, so a Ctrl-C in the
 * terminal reaches only us. It does not keep the event loop alive.
 */
export function spawnWatched(
  command: string,
  args: string[],
  o: { logFile: string; stdout?: 'pipe' | undefined }
): ChildProcess {
  const log = openSync(o.logFile, 'a')
  try {
    const child = spawn(command, args, { stdio: ['pipe', o.stdout ?? log, log], detached: true })
    const { pid } = child
    if (pid !== undefined) {
      tell(`pid ${pid}`)
      child.once('exit', () => tell(`gone ${pid}`))
    }
    child.stdin?.on('error', () => undefined)
    child.unref()
    ;(child.stdin as unknown as { unref?(): void } | null)?.unref?.()
    return child
  } finally {
    closeSync(log)
  }
}
