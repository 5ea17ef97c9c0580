// Started by support-kafka.test.ts as a process of its own: starts JVMs, says which, and ends in the way that it is told.
import { startKafka } from './kafka.js'
import { startOracle } from './oracle.js'

const [cluster, oracle] = await Promise.all([startKafka({ name: 'orphan' }), startOracle()])
const broker = cluster.brokers[0]
if (process.argv[3] === 'frozen') broker?.freeze()
console.log(JSON.stringify({ pids: [broker?.pid, oracle.pid] }))

switch (process.argv[2]) {
  case 'throw':
    throw new Error('on purpose')
  case 'exit':
    process.exit(0)
    break
  case 'end':
    // Nothing more to do: the event loop runs empty, although nobody called stop().
    break
  default:
    setInterval(() => undefined, 1000)
}
