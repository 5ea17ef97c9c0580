import type { Content, OracleOperations, WriteStep, WrittenRecord } from './oracle-operation-types.js'
import type { OracleCluster } from './oracle-types.js'

type Call = <T>(method: string, params: object) => Promise<T>
type On = <T extends { cluster: OracleCluster }>(options: T) => object

/** The TypeScript face of Writing.java and Operating.java. */
export function oracleOperations(call: Call, on: On): OracleOperations {
  return {
    write: async options => {
      const answer = await call<{ offsets: number[][] }>('write', {
        ...on(options),
        steps: options.steps.map(plainStep)
      })
      return { offsets: answer.offsets.map(step => step.map(BigInt)) }
    },
    deleteRecords: async options => {
      const answer = await call<Record<string, number>>('deleteRecords', {
        ...on(options),
        before: texts(options.before)
      })
      return Object.fromEntries(Object.entries(answer).map(([partition, offset]) => [partition, BigInt(offset)]))
    },
    deleteTopic: options => call('deleteTopic', on(options)),
    createPartitions: options => call('createPartitions', on(options)),
    alterConfigs: options => call('alterConfigs', on(options)),
    electLeaders: options => call('electLeaders', on(options)),
    reassign: options => call('reassign', on(options)),
    describeTopic: async options => {
      const answer = await call<{ topicId: string; partitions: RawPartition[] }>('describeTopic', on(options))
      return {
        topicId: answer.topicId,
        partitions: answer.partitions.map(({ end, ...rest }) =>
          end === undefined ? rest : { ...rest, end: BigInt(end) }
        )
      }
    },
    quota: options => call('quota', on(options)),
    acl: options => call('acl', on(options)),
    scram: options => call('scram', on(options)),
    producers: async options => {
      const answer = await call<{ producerId: number; epoch: number; lastSequence: number; openSince: number }[]>(
        'producers',
        on(options)
      )
      return answer.map(({ producerId, openSince, ...rest }) => ({
        ...rest,
        producerId: BigInt(producerId),
        ...(openSince >= 0 && { openSince: BigInt(openSince) })
      }))
    },
    abortTransaction: options => call('abortTransaction', on(options))
  }
}

interface RawPartition {
  partition: number
  leader: number
  replicas: number[]
  inSync: number[]
  end?: number
  leaderEpoch?: number
}

function texts(offsets: Record<number, bigint>): Record<string, string> {
  return Object.fromEntries(Object.entries(offsets).map(([partition, offset]) => [partition, offset.toString()]))
}

function plainStep(step: WriteStep): object {
  if ('begin' in step) return { what: 'begin', producer: step.begin }
  if ('commit' in step) return { what: 'commit', producer: step.commit }
  if ('abort' in step) return { what: 'abort', producer: step.abort }
  const { send, ...rest } = step
  return { what: 'send', ...rest, records: send.map(plainRecord) }
}

function plainRecord(record: WrittenRecord): object {
  return {
    key: plain(record.key),
    value: plain(record.value),
    headers: record.headers?.map(([name, value]) => [name, plain(value)]),
    bareHeaders: record.bareHeaders,
    timestamp: record.timestamp?.toString()
  }
}

function plain(content: Content | undefined): string | null | object {
  if (content === null || content === undefined) return null
  return typeof content === 'string' || Buffer.isBuffer(content) ? Buffer.from(content).toString('base64') : content
}
