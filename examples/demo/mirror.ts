/** The demo's Mirror, a process of its own. It reaches the source through proxies that delay every byte. */
import { Mirror } from '../../src/index.js'
import { proxyMap, socketFactoryThrough } from '../../test/support/socket-factory.js'
import { clusterConfig, type MirrorProcessOptions, onCommand, report, startOptions } from './protocol.js'

const options = startOptions<MirrorProcessOptions>()
const proxies = proxyMap()
proxies.forEach(proxy => proxy.setLatency(options.latencyMs))

const mirror = new Mirror({
  source: { ...clusterConfig(options.source), connectionTimeout: 5_000, socketFactory: socketFactoryThrough(proxies) },
  target: clusterConfig(options.target),
  topics: options.topics
})

onCommand(command => {
  if (command.type !== 'stop') return
  void mirror.stop().finally(() => process.exit(0))
})

await mirror.start()
report({ type: 'ready' })
setInterval(() => {
  const status = mirror.status()
  const states = [...new Set(status.lanes.map(lane => lane.state))].join(',')
  report({
    type: 'progress',
    count: Number(status.totals.lagRecords),
    state: states,
    active: '',
    note: `${status.totals.recordsPerSecond}/s`
  })
}, 250)
