import { describe, expect, it } from 'vitest'
import { createScrubber, redactCluster } from '../../../src/failover/redact.js'
import type { ClusterConfig } from '../../../src/kafka/types.js'

/** As a service writes it whose secrets are replaced while it runs. */
class Secrets {
  readonly alias = 'east'
  readonly brokers = ['east-1:9092']
  failing = false

  get sasl(): NonNullable<ClusterConfig['sasl']> {
    if (this.failing) throw new Error('ENOENT: no such file')
    return { mechanism: 'plain', username: 'alice', password: 'open sesame' }
  }

  get ssl() {
    if (this.failing) throw new Error('ENOENT: no such file')
    return { ca: 'a certificate' }
  }
}

describe('a config with getters', () => {
  it('is described, and its secrets are blanked out', () => {
    const config = new Secrets()
    const described = { alias: 'east', brokers: ['east-1:9092'], tls: true, saslMechanism: 'plain' }
    expect(redactCluster(config)).toEqual(described)
    expect(createScrubber([config])('alice said open sesame to east-1:9092')).toBe('alice said *** to east-1:9092')
  })

  it('that fail at the moment does not keep evidence from being written', () => {
    const config = new Secrets()
    config.failing = true
    expect(redactCluster(config)).toEqual({ alias: 'east', brokers: ['east-1:9092'], tls: false })
    expect(createScrubber([config])('text')).toBe('text')
  })
})
