import fc from 'fast-check'
import { encodeBatch } from '../../../../src/records/encode.js'
import { readSegments } from '../../../../src/records/segments.js'
import type { CompressionName, DecodedRecord, Segment } from '../../../../src/records/types.js'

export const GUID = '89791762-2336-186f-9674-299b90a802e2'
const guidBytes = (guid: string) => Buffer.from(guid.replaceAll('-', ''), 'hex')

// Old records go another way.
const NOW = BigInt(Date.now())

/** What a serializer writes in front of a payload, or into a header. */
export const withId = (id: number, payload: string | Buffer = 'payload'): Buffer => {
  const head = Buffer.alloc(5)
  head.writeInt32BE(id, 1)
  return Buffer.concat([head, Buffer.from(payload)])
}

export const withGuid = (guid = GUID, rest: string | Buffer = ''): Buffer =>
  Buffer.concat([Buffer.from([1]), guidBytes(guid), Buffer.from(rest)])

type Headers = [name: string, value: Buffer | null][]

export const record = (
  offset: number,
  o: { key?: Buffer | null; value?: Buffer | null; headers?: Headers } = {}
): DecodedRecord => ({
  offset: BigInt(offset),
  timestamp: NOW + BigInt(offset),
  key: o.key ?? null,
  value: o.value ?? null,
  headers: (o.headers ?? []).map(([name, value]) => [Buffer.from(name), value])
})

/** Values with these ids, one a record. */
export const ids = (...numbers: number[]): DecodedRecord[] =>
  numbers.map((id, offset) => record(offset, { value: withId(id, `v${offset}`) }))

/** A stretch of the source log: each list of records is a batch. */
export function segmentsOf(batches: DecodedRecord[][], compression: CompressionName = 'none'): Segment[] {
  const bytes = batches.map(records => encodeBatch({ records, baseOffset: records[0]?.offset ?? 0n, compression }))
  const position = batches[0]?.[0]?.offset ?? 0n
  const data = Buffer.concat(bytes)
  return readSegments(data, { position, isolation: 'read_committed', abortedTransactions: [] }).segments
}

/** Few different ids, so that they meet what is known; ids are also where none is meant. */
const someId = fc.integer({ min: 0, max: 5 })
const somePayload = fc.uint8Array({ maxLength: 12 }).map(bytes => Buffer.from(bytes))
const someBytes: fc.Arbitrary<Buffer | null> = fc.oneof(
  fc.constant(null),
  somePayload,
  fc.tuple(someId, somePayload).map(([id, payload]) => withId(id, payload)),
  fc.tuple(fc.integer(), somePayload).map(([id, payload]) => withId(id, payload)),
  somePayload.map(payload => Buffer.concat([Buffer.from([0]), payload])),
  somePayload.map(payload => withGuid(GUID, payload))
)
const someHeader: fc.Arbitrary<Headers[number]> = fc.tuple(
  fc.constantFrom('__key_schema_id', '__value_schema_id', '__value_schema_ie', 'trace', ''),
  someBytes
)

export const someRecord = fc.record(
  {
    key: someBytes,
    value: someBytes,
    headers: fc.oneof({ weight: 3, arbitrary: fc.constant<Headers>([]) }, fc.array(someHeader, { maxLength: 4 }))
  },
  { noNullPrototype: true }
)

/** Batches without a hole between them; records have offsets that follow each other. */
export const someBatches: fc.Arbitrary<DecodedRecord[][]> = fc
  .array(fc.array(someRecord, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 4 })
  .map(batches => {
    let offset = 0
    return batches.map(records => records.map(fields => record(offset++, fields)))
  })
