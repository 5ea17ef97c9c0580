import { describe, expect, it } from 'vitest'
import { Reader } from '../../../src/kafka/protocol/reader.js'
import { Writer } from '../../../src/kafka/protocol/writer.js'
import { heartbeatRequest } from '../../../src/kafka/requests/heartbeat.js'
import { joinGroupRequest } from '../../../src/kafka/requests/join-group.js'
import { leaveGroupRequest } from '../../../src/kafka/requests/leave-group.js'
import { syncGroupRequest } from '../../../src/kafka/requests/sync-group.js'
import type { ApiRequest } from '../../../src/kafka/types.js'

// Each string of hex is one field of the message definitions of Kafka 4.1, worked out by hand.
const hex = (...fields: string[]) => Buffer.from(fields.join('').replaceAll(' ', ''), 'hex')
const encoded = (request: ApiRequest<unknown>, version: number) => {
  const writer = new Writer()
  request.encode(writer, version)
  return writer.toBuffer()
}
const decoded = <T>(request: ApiRequest<T>, version: number, bytes: Buffer): T => {
  const reader = new Reader(bytes)
  const value = request.decode(reader, version)
  expect(reader.remaining, 'the whole response is read').toBe(0)
  return value
}

describe('JoinGroup', () => {
  const request = joinGroupRequest({
    groupId: 'g',
    sessionTimeoutMs: 6_000,
    rebalanceTimeoutMs: 15_000,
    memberId: 'm',
    protocolType: 'tl',
    protocols: [{ name: 'p', metadata: Buffer.from('cafe', 'hex') }],
    reason: 'r'
  })
  const body = ['02 67', '00001770', '00003a98', '02 6d', '00', '03 746c', '02', '02 70', '03 cafe', '00']

  it('gives a reason from version 8 on', () => {
    expect(encoded(request, 7)).toEqual(hex(...body, '00'))
    expect(encoded(request, 9)).toEqual(hex(...body, '02 72', '00'))
  })

  it('decodes what the leader is told; skip_assignment is there from version 9 on', () => {
    const answer = (skip: string) =>
      hex(
        '00000064', // throttle
        '0000',
        '00000005', // generation
        '03 746c',
        '02 70',
        '02 6d', // leader
        skip,
        '02 6d', // member id
        '03',
        '02 6d',
        '00',
        '03 cafe',
        '00',
        '02 6e',
        '02 69', // instance id "i"
        '02 ff',
        '00',
        '00'
      )
    const members = [
      { memberId: 'm', metadata: Buffer.from('cafe', 'hex') },
      { memberId: 'n', metadata: Buffer.from('ff', 'hex') }
    ]
    const expected = { errorCode: 0, generationId: 5, protocolName: 'p', leader: 'm', memberId: 'm', members }
    expect(decoded(request, 9, answer('00'))).toEqual(expected)
    expect(decoded(request, 8, answer(''))).toEqual(expected)
  })

  it('decodes MEMBER_ID_REQUIRED', () => {
    const answer = hex('00000000', '004f', 'ffffffff', '00', '00', '01', '00', '03 6d31', '01', '00')
    expect(decoded(request, 9, answer)).toEqual({
      errorCode: 79,
      generationId: -1,
      protocolName: null,
      leader: '',
      memberId: 'm1',
      members: []
    })
  })
})

it('SyncGroup', () => {
  const request = syncGroupRequest({
    groupId: 'g',
    generationId: 5,
    memberId: 'm',
    protocolType: 'tl',
    protocolName: 'p',
    assignments: [{ memberId: 'm', assignment: Buffer.from('cafe', 'hex') }]
  })
  expect(encoded(request, 5)).toEqual(
    hex('02 67', '00000005', '02 6d', '00', '03 746c', '02 70', '02', '02 6d', '03 cafe', '00', '00')
  )
  const answer = hex('00000000', '0000', '03 746c', '02 70', '03 cafe', '00')
  expect(decoded(request, 5, answer)).toEqual({ errorCode: 0, assignment: Buffer.from('cafe', 'hex') })
  const refused = hex('00000000', '001b', '00', '00', '01', '00')
  expect(decoded(request, 5, refused)).toEqual({ errorCode: 27, assignment: Buffer.alloc(0) })
})

it('Heartbeat', () => {
  const request = heartbeatRequest({ groupId: 'g', generationId: 5, memberId: 'm' })
  expect(encoded(request, 4)).toEqual(hex('02 67', '00000005', '02 6d', '00', '00'))
  expect(decoded(request, 4, hex('00000000', '0019', '00'))).toEqual({ errorCode: 25 })
})

describe('LeaveGroup', () => {
  const request = leaveGroupRequest({ groupId: 'g', memberId: 'm', reason: 'r' })

  it('gives a reason from version 5 on', () => {
    expect(encoded(request, 4)).toEqual(hex('02 67', '02', '02 6d', '00', '00', '00'))
    expect(encoded(request, 5)).toEqual(hex('02 67', '02', '02 6d', '00', '02 72', '00', '00'))
  })

  it('answers the error of the request, or else of the member', () => {
    expect(decoded(request, 5, hex('00000000', '0010', '01', '00'))).toEqual({ errorCode: 16 })
    expect(decoded(request, 5, hex('00000000', '0000', '02', '02 6d', '00', '0019', '00', '00'))).toEqual({
      errorCode: 25
    })
    expect(decoded(request, 5, hex('00000000', '0000', '02', '02 6d', '00', '0000', '00', '00'))).toEqual({
      errorCode: 0
    })
  })
})
