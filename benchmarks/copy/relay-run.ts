import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { CopierProcess } from './copier-process.js'
import type { Measured } from './meter.js'

/** Sends these buffers, each as often as it says, through the relay process to a sink that throws them away. */
export async function runRelay(batches: { bytes: Buffer; times: number }[], timeoutMs: number): Promise<Measured> {
  let received = 0
  const sink = createServer()
  const drained = new Promise<void>((resolve, reject) => {
    sink.once('connection', socket => {
      socket.on('data', chunk => {
        received += chunk.length
      })
      socket.once('end', resolve)
      socket.once('error', reject)
    })
  })
  drained.catch(() => undefined)
  await once(sink.listen(0, '127.0.0.1'), 'listening')
  const relay = new CopierProcess(
    './relay-copier.ts',
    { sinkPort: (sink.address() as AddressInfo).port },
    { timeoutMs }
  )
  try {
    const { port } = await relay.next('listening')
    const feed = connect(port, '127.0.0.1')
    // A relay that dies says so itself.
    feed.on('error', () => undefined)
    await once(feed, 'connect')
    let sent = 0
    for (const { bytes, times } of batches) {
      for (let index = 0; index < times; index++) {
        sent += bytes.length
        if (!feed.write(bytes)) await once(feed, 'drain')
      }
    }
    feed.end()
    const { measured } = await relay.next('done')
    await drained
    if (received !== sent) throw new Error(`the relay passed ${received} of ${sent} bytes on`)
    return measured
  } finally {
    relay.kill()
    sink.close()
  }
}
