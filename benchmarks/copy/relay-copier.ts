import { type AddressInfo, connect, createServer } from 'node:net'
import { orders, type RelayJob, report } from './copier-process.js'
import { Meter } from './meter.js'

// Bytes in at one socket, out at another: no protocol, no batch, no checksum. What a Node.js process cannot go below without tricks.
const { sinkPort } = orders<RelayJob>()
const meter = new Meter()
const server = createServer(incoming => {
  server.close()
  incoming.pause()
  incoming.once('data', () => meter.start())
  const outgoing = connect(sinkPort, '127.0.0.1', () => incoming.pipe(outgoing))
  outgoing.once('finish', () => {
    void report({ kind: 'done', measured: meter.stop() }).then(() => process.exit(0))
  })
})
server.listen(0, '127.0.0.1', () => void report({ kind: 'listening', port: (server.address() as AddressInfo).port }))
