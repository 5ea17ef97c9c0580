import { describe, expect, it } from 'vitest'
import {
  decodeHeartbeat,
  encodeHeartbeat,
  presentInstances,
  type TimedHeartbeat
} from '../../../src/failover/presence.js'

const beat = (instance: string, timestamp: bigint, over: Partial<TimedHeartbeat> = {}): TimedHeartbeat => ({
  service: 's',
  instance,
  epoch: 0,
  topics: [],
  groups: [],
  timestamp,
  ...over
})

describe('presence', () => {
  it('counts an instance up to ten seconds after its last heartbeat, by the clock of the log', () => {
    const present = presentInstances([beat('a', 1_000n), beat('b', 1_001n), beat('c', 11_001n)])
    expect([...present.keys()]).toEqual(['b', 'c'])
  })

  it('does not count an instance that said goodbye, until it is back', () => {
    const goodbye = [beat('a', 1n), beat('a', 2n, { left: true })]
    expect(presentInstances(goodbye).size).toBe(0)
    expect(presentInstances([...goodbye, beat('a', 3n)]).has('a')).toBe(true)
  })

  it('takes the newest word of each instance', () => {
    expect(presentInstances([beat('a', 1n, { driving: 4 }), beat('a', 2n)]).get('a')?.driving).toBeUndefined()
  })

  it('survives the wire, and passes over other services, newer versions and rubbish', () => {
    const entry = {
      ...encodeHeartbeat({ service: 's', instance: 'a', epoch: 3, topics: ['t'], groups: ['g'], driving: 4 }),
      timestamp: 7n
    }
    expect(decodeHeartbeat(entry, 's')).toEqual(beat('a', 7n, { epoch: 3, topics: ['t'], groups: ['g'], driving: 4 }))
    expect(decodeHeartbeat(entry, 'other')).toBeUndefined()
    expect(decodeHeartbeat({ ...entry, value: Buffer.from('{"v":2,"instance":"a"}') }, 's')).toBeUndefined()
    expect(decodeHeartbeat({ ...entry, value: Buffer.from('{') }, 's')).toBeUndefined()
  })
})
