import type { SchemaRegistry } from '@kafkajs/confluent-schema-registry'
import { TwinlogError } from '../errors.js'
import { absoluteSubject, DEFAULT_CONTEXT, qualify, scopeOf } from '../schemas/names.js'
import type { RegistryClient, SchemaContent, SchemaVersion } from '../schemas/registry-types.js'

type Middleware = NonNullable<ConstructorParameters<typeof SchemaRegistry>[0]['middlewares']>[number]
type Phases = ReturnType<Middleware>
type Answer = Awaited<ReturnType<NonNullable<Phases['response']>>>

/** As Confluent and Apicurio know it. */
export const LATEST_VERSION = -1

/** What the registry answers with 404. The encoder knows that by `status`, and nothing else of it. */
export class NotThere extends Error {
  readonly status = 404
}

/** The registry of one cluster, with the names of its context. */
export class RegistryView {
  client: RegistryClient
  readonly #home: string
  readonly #scope: string | undefined

  constructor(client: RegistryClient, context: string | undefined) {
    this.client = client
    this.#home = qualify(context ?? DEFAULT_CONTEXT, '')
    this.#scope = scopeOf(context ?? DEFAULT_CONTEXT)
  }

  /** Subjects without a context are those of ours, references of a schema in it included. */
  subject(name: string): string {
    return absoluteSubject(this.#home, name)
  }

  async schemaById(id: number): Promise<SchemaContent> {
    const found = await this.client.schemaById(id, { scope: this.#scope })
    return found ?? missing(`schema id ${id} is not there`)
  }

  async version(subject: string, version: number, o: { deleted?: boolean } = {}): Promise<SchemaVersion> {
    const found = await this.client.version(this.subject(subject), version, o)
    const which = version === LATEST_VERSION ? 'no versions' : `no version ${version}`
    return found ?? missing(`subject "${subject}" has ${which} there`)
  }

  async lookup(subject: string, content: SchemaContent): Promise<{ id: number; version: number }> {
    const found = await this.client.lookup(this.subject(subject), content)
    return found ?? missing(`subject "${subject}" does not have that schema there`)
  }
}

/**
 * Answers the requests of `@kafkajs/confluent-schema-registry` through our client, so that it has the same addresses, credentials, retries and
 * time-outs as everything else that speaks to a registry. The package's own HTTP never runs: its user's middlewares come last, that is
 * outermost, and this one does not call `next`.
 */
export function answerFrom(view: RegistryView): Middleware {
  return ({ resourceName, resourceMethod }) => ({
    response: async (_next, _renew, request) => {
      const call = `${resourceName}.${resourceMethod}`
      const data = await answer(view, call, request.params(), bodyOf(request.body()))
      // All that is asked of an answer.
      return { data: () => data } as unknown as Answer
    }
  })
}

async function answer(
  view: RegistryView,
  call: string,
  params: Record<string, unknown>,
  body: Record<string, unknown>
): Promise<unknown> {
  const subject = String(params['subject'])
  switch (call) {
    case 'Schema.find':
      return view.schemaById(Number(params['id']))
    case 'Subject.version':
      // What others refer to counts when it is softly deleted, too.
      return view.version(subject, Number(params['version']), { deleted: true })
    case 'Subject.register':
      return view.client.register(view.subject(subject), contentOf(body))
    case 'Subject.config':
      return (
        (await view.client.config(view.subject(subject))) ?? missing(`subject "${subject}" has no config of its own`)
      )
    case 'Subject.updateConfig': {
      const compatibilityLevel = String(body['compatibility'])
      await view.client.putConfig(view.subject(subject), { compatibilityLevel })
      return { compatibilityLevel }
    }
    default:
      throw new TwinlogError(
        'TWINLOG_INTERNAL',
        `@kafkajs/confluent-schema-registry asked for ${call}, which is not answered`
      )
  }
}

/** What the package takes as a schema or sends as one: its own form, or an Avro record as it is. */
export function contentOf(schema: object): SchemaContent {
  const { schemaType, type, schema: text, references } = schema as Partial<SchemaContent> & { type?: string }
  if (text === undefined) return { schemaType: 'AVRO', schema: JSON.stringify(schema), references: [] }
  return {
    schemaType: schemaType ?? type ?? 'AVRO',
    // Its types allow an object for Avro, although no registry does.
    schema: typeof text === 'string' ? text : JSON.stringify(text),
    references: references ?? []
  }
}

function bodyOf(body: unknown): Record<string, unknown> {
  return typeof body === 'string'
    ? (JSON.parse(body) as Record<string, unknown>)
    : ((body ?? {}) as Record<string, unknown>)
}

function missing(what: string): never {
  throw new NotThere(what)
}
