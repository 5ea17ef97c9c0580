import { InvalidOptionError, toTwinlogError } from '../errors.js'
import type { ClusterConfig } from './types.js'

export interface Address {
  host: string
  port: number
}

// host:port, or [IPv6]:port
const ADDRESS = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([^\s:/[\]]+)):(\d{1,5})$/

export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

export function parseAddress(text: unknown, path: string): Address {
  const match = typeof text === 'string' ? ADDRESS.exec(text.trim()) : null
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || port < 1 || port > 65_535) {
    const shown = typeof text === 'string' ? `"${text}"` : typeof text
    throw new InvalidOptionError(
      path,
      `${shown} is not a broker address; write host:port or [IPv6]:port, without a scheme`
    )
  }
  return { host, port }
}

/** The bootstrap addresses; a function in the config is called each time, so that it can follow a changing fleet. */
export async function bootstrapAddresses(config: ClusterConfig): Promise<Address[]> {
  let brokers: unknown = config.brokers
  if (typeof config.brokers === 'function') {
    try {
      brokers = await config.brokers()
    } catch (error) {
      const options = { cluster: config.alias, retriable: true }
      throw toTwinlogError(error, 'TWINLOG_UNREACHABLE', `${config.alias}: the brokers function failed`, options)
    }
  }
  const path = `${config.alias}.brokers`
  if (!Array.isArray(brokers) || brokers.length === 0) {
    throw new InvalidOptionError(path, 'must name at least one broker, for example ["kafka-1:9092"]')
  }
  return brokers.map((broker: unknown, index) => parseAddress(broker, `${path}[${index}]`))
}
