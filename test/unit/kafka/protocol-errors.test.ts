import { expect, it } from 'vitest'
import { KAFKA_ERRORS, kafkaError } from '../../../src/kafka/protocol-errors.js'

it('knows every code of Kafka 4.1, from −1 to 133 without a hole', () => {
  expect([...KAFKA_ERRORS.keys()].sort((a, b) => a - b)).toEqual(Array.from({ length: 135 }, (_, i) => i - 1))
  expect(KAFKA_ERRORS.get(45)).toEqual({ name: 'OUT_OF_ORDER_SEQUENCE_NUMBER', retriable: false })
  expect(KAFKA_ERRORS.get(6)).toEqual({ name: 'NOT_LEADER_OR_FOLLOWER', retriable: true })
})

it('keeps the protocol code, the context and the retriable mark', () => {
  expect(kafkaError(6, 'produce to t-0', { cluster: 'east', topic: 't', partition: 0 })).toMatchObject({
    code: 'TWINLOG_UNREACHABLE',
    retriable: true,
    kafkaCode: 6,
    cluster: 'east',
    topic: 't',
    partition: 0,
    message: 'produce to t-0: NOT_LEADER_OR_FOLLOWER (6)'
  })
  expect(kafkaError(47, 'x')).toMatchObject({ code: 'TWINLOG_FENCED', retriable: false })
  expect(kafkaError(3, 'x')).toMatchObject({ code: 'TWINLOG_UNKNOWN_TOPIC', retriable: true })
  expect(kafkaError(45, 'x')).toMatchObject({ code: 'TWINLOG_PROTOCOL', retriable: false })
  expect(kafkaError(4_711, 'x')).toMatchObject({ code: 'TWINLOG_PROTOCOL', message: 'x: error 4711' })
})
