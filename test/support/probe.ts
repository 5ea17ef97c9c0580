import { createConnection, createServer } from 'node:net'

/**
 * Asks a broker for its metadata by hand (Metadata v1 without topics), so that readiness depends on nothing that the tests are about.
 * Returns the node ids that it believes alive, or undefined when it does not answer in time.
 */
export function aliveBrokers(host: string, port: number, timeoutMs = 1000): Promise<number[] | undefined> {
  return new Promise(resolve => {
    const socket = createConnection({ host, port })
    const finish = (answer: number[] | undefined): void => {
      socket.destroy()
      resolve(answer)
    }
    let received = Buffer.alloc(0)
    socket.setTimeout(timeoutMs, () => finish(undefined))
    socket.on('error', () => finish(undefined))
    socket.on('close', () => finish(undefined))
    // size, api key 3, version 1, correlation id 7, client id "probe", empty topic array
    socket.on('connect', () => socket.write(Buffer.from('000000130003000100000007000570726f626500000000', 'hex')))
    socket.on('data', chunk => {
      received = Buffer.concat([received, chunk])
      if (received.length >= 4 && received.length >= 4 + received.readInt32BE(0)) finish(nodeIds(received))
    })
  })
}

function nodeIds(response: Buffer): number[] {
  const ids: number[] = []
  let at = 8
  const count = response.readInt32BE(at)
  at += 4
  for (let i = 0; i < count; i++) {
    ids.push(response.readInt32BE(at))
    at += 4
    at += 2 + response.readInt16BE(at) + 4
    at += 2 + Math.max(0, response.readInt16BE(at))
  }
  return ids
}

const taken = new Set<number>()

/** Free loopback ports below the ephemeral range: an outgoing connection cannot take the port of a broker that is down for a moment. */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = []
  while (ports.length < count) {
    const port = 10_000 + Math.floor(Math.random() * 20_000)
    if (taken.has(port) || !(await canListen(port))) continue
    taken.add(port)
    ports.push(port)
  }
  return ports
}

function canListen(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
