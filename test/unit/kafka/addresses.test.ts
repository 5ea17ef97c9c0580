import { expect, it } from 'vitest'
import { bootstrapAddresses, formatAddress, parseAddress } from '../../../src/kafka/addresses.js'

it('reads host:port and [IPv6]:port', () => {
  expect(parseAddress('kafka-1.example:9092', 'p')).toEqual({ host: 'kafka-1.example', port: 9092 })
  expect(parseAddress('[fe80::1%eth0]:9093', 'p')).toEqual({ host: 'fe80::1%eth0', port: 9093 })
  expect(parseAddress(' 10.0.0.1:1 ', 'p')).toEqual({ host: '10.0.0.1', port: 1 })
  expect(formatAddress({ host: '::1', port: 9092 })).toBe('[::1]:9092')
})

it('anything else is an option error that names the place', () => {
  for (const bad of [
    '',
    'kafka',
    'kafka:',
    ':9092',
    'kafka:0',
    'kafka:65536',
    'PLAINTEXT://kafka:9092',
    '::1:9092',
    'a b:1',
    9092,
    null
  ]) {
    expect(() => parseAddress(bad, 'east.brokers[0]'), String(bad)).toThrow(/^east\.brokers\[0\]: .*host:port/)
  }
})

it('a brokers function that fails is unreachable, one that names nobody is an option error', async () => {
  const failing = { alias: 'east', brokers: () => Promise.reject(new Error('consul is down')) }
  await expect(bootstrapAddresses(failing)).rejects.toMatchObject({ code: 'TWINLOG_UNREACHABLE', retriable: true })
  await expect(bootstrapAddresses({ alias: 'east', brokers: () => [] })).rejects.toMatchObject({ path: 'east.brokers' })
})
