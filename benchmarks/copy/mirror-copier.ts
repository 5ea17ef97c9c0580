import { Mirror } from '../../src/mirror/mirror.js'
import { type MirrorJob, orders, report } from './copier-process.js'
import { Meter } from './meter.js'

const job = orders<MirrorJob>()
const meter = new Meter()
const mirror = new Mirror({
  source: { alias: 'east', clientId: 'twinlog-bench', brokers: job.source },
  target: { alias: 'west', clientId: 'twinlog-bench', brokers: job.target },
  topics: job.topic,
  link: job.link,
  syncGroups: false
})
// Creating topics and binding the link is not copying, as joining the group is not for the kafkajs loop.
mirror.on('lane:state', ({ to }) => {
  if (to === 'copying') meter.start()
})
await mirror.start()
await mirror.caughtUp()
const measured = meter.stop()
await mirror.stop()
await report({ kind: 'done', measured })
process.exit(0)
