import { expect } from 'vitest'
import { TwinlogError } from '../../../src/errors.js'
import type { RegistryClusters } from '../../../src/failover/schema-registry.js'
import type { RegistryConfig } from '../../../src/util/registry-config.js'

export const avro = (name: string, ...fields: string[]) =>
  JSON.stringify({
    type: 'record',
    name,
    namespace: 'test',
    fields: fields.map(field => ({ name: field, type: 'string' }))
  })
export const flight = { type: 'AVRO' as never, schema: avro('Flight', 'id') }
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

export interface Member {
  alias: string
  schemaRegistry?: RegistryConfig | undefined
}

/** Stands in for the FailoverClient: says where the service is, and that it is between two clusters. */
export class Service implements RegistryClusters {
  readonly logger = silent
  readonly #members: Member[]
  active: string
  moving: Promise<void> | undefined

  constructor(...members: Member[]) {
    this.#members = members
    this.active = members[0]?.alias ?? ''
  }

  config(alias: string): Member | undefined {
    return this.#members.find(member => member.alias === alias)
  }

  reading(): { config: Member } {
    return { config: this.config(this.active) as Member }
  }

  async cluster(): Promise<{ config: Member }> {
    await this.moving
    return this.reading()
  }
}

export function prefixed(id: number, rest = ''): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(id, 1)
  return Buffer.concat([head, Buffer.from(rest)])
}

export async function failureOf(promise: Promise<unknown>): Promise<TwinlogError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason
  )
  expect(error).toBeInstanceOf(TwinlogError)
  return error as TwinlogError
}

/** Registers as somebody else would, not through the code under test. */
export async function put(url: string, subject: string, body: object): Promise<number> {
  const response = await fetch(`${url}/subjects/${encodeURIComponent(subject)}/versions`, {
    method: 'POST',
    headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
    body: JSON.stringify(body)
  })
  const answer = (await response.json()) as { id: number }
  expect(answer.id, JSON.stringify(answer)).toBeTypeOf('number')
  return answer.id
}
