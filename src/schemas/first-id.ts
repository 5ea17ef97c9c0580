import { TwinlogError } from '../errors.js'
import type { SchemaStep } from './plan-types.js'
import { ConflictError } from './refusals.js'

/**
 * The first registration with an id is made alone: a registry without IMPORT (Apicurio) answers 200 with an id of its own, and nobody should
 * learn that eight times at once.
 */
export class FirstId {
  /** Why nothing more may be registered: ids are not kept. */
  stopped: TwinlogError | undefined
  readonly #registry: string
  #kept = false
  #trying: Promise<unknown> | undefined

  constructor(registry: string) {
    this.#registry = registry
  }

  /** `register` throws what `differs()` answered when the id is another one. */
  async through<T>(register: () => Promise<T>): Promise<T> {
    while (!this.#kept) {
      if (this.stopped !== undefined) throw new ConflictError('blocked', this.stopped.message)
      if (this.#trying !== undefined) {
        await this.#trying
        continue
      }
      const attempt = register()
      // A failure says nothing about ids: the next one is the first then.
      this.#trying = attempt.then(
        () => (this.#kept = true),
        () => undefined
      )
      try {
        return await attempt
      } finally {
        this.#trying = undefined
      }
    }
    return register()
  }

  differs(
    subject: string,
    step: SchemaStep & { kind: 'register' },
    answer: { id: number; version?: number | undefined }
  ): ConflictError {
    const wanted = `id ${step.id} version ${step.version}`
    const got = `id ${answer.id}${answer.version === undefined ? '' : ` version ${answer.version}`}`
    const message = `registry ${this.#registry} was asked to keep ${wanted} for ${subject} and answered with ${got}`
    if (!this.#kept) {
      const advice = `It has no IMPORT mode that keeps ids; use ids: 'translate'. What was added was taken back, nothing else was written`
      const context = { subject, schemaId: step.id }
      this.stopped ??= new TwinlogError('TWINLOG_SCHEMA_ID_CONFLICT', `${message}. ${advice}`, context)
    }
    return new ConflictError('id-differs', message, { version: step.from.version, id: step.from.id })
  }
}
