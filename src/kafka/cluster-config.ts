import { InvalidOptionError } from '../errors.js'
import { assertName, assertObject } from '../util/options.js'
import type { ClusterConfig } from './types.js'

/** What can be judged without connecting; the rest of kafkajs's config is kafkajs's to judge. */
export function assertCluster(path: string, value: unknown): asserts value is ClusterConfig {
  assertObject(path, value)
  assertName(`${path}.alias`, value.alias)
  const brokers = value.brokers
  if (typeof brokers === 'function') return
  if (!Array.isArray(brokers) || brokers.length === 0) {
    throw new InvalidOptionError(`${path}.brokers`, "must be a list of 'host:port' or a function that answers one")
  }
  brokers.forEach((broker: unknown, index) => {
    if (typeof broker !== 'string' || !/^(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}$/.test(broker)) {
      throw new InvalidOptionError(
        `${path}.brokers[${index}]`,
        `must look like 'host:port', got ${JSON.stringify(broker)}`
      )
    }
  })
}
