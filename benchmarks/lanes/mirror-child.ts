import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Mirror } from '../../src/mirror/mirror.js'
import type { LanesJob, LanesMessage } from './mirror-process.js'

// Below the resolution of the event loop's timers nothing can be told apart.
const RESOLUTION_MS = 1

const job = JSON.parse(process.argv[2] ?? '{}') as LanesJob
const say = (message: LanesMessage) => process.send?.(message)
process.once('disconnect', () => process.exit(1))

const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
let cpu = process.cpuUsage()
let since = performance.now()

const mirror = new Mirror({
  source: { alias: 'east', clientId: 'twinlog-bench', brokers: job.source },
  target: { alias: 'west', clientId: 'twinlog-bench', brokers: job.target },
  topics: job.topics,
  link: job.link,
  syncGroups: false
})

process.on('message', command => {
  if (command === 'begin') {
    delay.reset()
    delay.enable()
    cpu = process.cpuUsage()
    since = performance.now()
    say({ what: 'begun' })
  }
  if (command === 'figures') {
    const { user, system } = process.cpuUsage(cpu)
    const seconds = (performance.now() - since) / 1000
    const at = (percentile: number) => Math.max(0, delay.percentile(percentile) / 1e6 - RESOLUTION_MS)
    const { rss } = process.memoryUsage()
    const loopDelayMs = { p50: at(50), p99: at(99), max: Math.max(0, delay.max / 1e6 - RESOLUTION_MS) }
    const peakRssBytes = process.resourceUsage().maxRSS * 1024
    say({
      what: 'figures',
      seconds,
      cpuPercent: (user + system) / 1e4 / seconds,
      rssBytes: rss,
      peakRssBytes,
      loopDelayMs
    })
  }
  if (command === 'caughtUp') void mirror.caughtUp().then(() => say({ what: 'caughtUp' }))
  if (command === 'stop') void mirror.stop().then(() => process.exit(0))
})

if (job.waitForBegin !== true) await start()
else process.on('message', command => void (command === 'begin' && start()))

async function start(): Promise<void> {
  await mirror.start()
  say({ what: 'started', lanes: mirror.status().lanes.length })
}
