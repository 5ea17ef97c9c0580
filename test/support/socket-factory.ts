import { isIP, Socket } from 'node:net'
import { connect as connectTls, type ConnectionOptions } from 'node:tls'
import type { Address } from './kafka-properties.js'
import { type Proxy, startProxy } from './proxy.js'

/** kafkajs's `socketFactory`. */
export type SocketFactory = (o: {
  host: string
  port: number
  ssl: ConnectionOptions | undefined
  onConnect: () => void
}) => Socket

export interface ProxyMap extends AsyncDisposable {
  /** The proxy before that broker, started when it does not exist yet. */
  of(target: Address | string): Promise<Proxy>
  /** Every proxy so far. */
  all(): Proxy[]
  /** Applied to every proxy, those of the future too. */
  forEach(action: (proxy: Proxy) => void): void
  close(): Promise<void>
}

/** One proxy per broker address, made on demand. */
export function proxyMap(): ProxyMap {
  const proxies = new Map<string, Promise<Proxy>>()
  const started = new Set<Proxy>()
  const actions: ((proxy: Proxy) => void)[] = []
  const close = async (): Promise<void> => {
    await Promise.all([...proxies.values()].map(async proxy => (await proxy).close()))
  }
  return {
    of: target => {
      const key = typeof target === 'string' ? target : `${target.host}:${target.port}`
      const existing = proxies.get(key)
      if (existing !== undefined) return existing
      const at = key.lastIndexOf(':')
      const proxy = startProxy({ target: { host: key.slice(0, at), port: Number(key.slice(at + 1)) } }).then(ready => {
        for (const action of actions) action(ready)
        started.add(ready)
        return ready
      })
      proxies.set(key, proxy)
      return proxy
    },
    all: () => [...started],
    forEach: action => {
      actions.push(action)
      for (const proxy of started) action(proxy)
    },
    close,
    [Symbol.asyncDispose]: close
  }
}

/** Sends every connection through the proxy of its broker, whatever address the broker advertises. */
export function socketFactoryThrough(map: ProxyMap): SocketFactory {
  return ({ host, port, ssl, onConnect }) => {
    // The factory must answer at once, a new proxy needs a moment: the socket connects when its proxy listens.
    const raw = new Socket()
    map.of({ host, port }).then(
      proxy => raw.connect({ host: proxy.host, port: proxy.port }),
      (error: Error) => raw.destroy(error)
    )
    raw.setKeepAlive(true, 60_000)
    if (!ssl) {
      raw.once('connect', onConnect)
      return raw
    }
    return connectTls({ ...ssl, host, socket: raw, ...(isIP(host) === 0 ? { servername: host } : {}) }, onConnect)
  }
}
