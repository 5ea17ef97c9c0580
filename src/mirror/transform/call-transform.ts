import { TwinlogError } from '../../errors.js'
import type { Transform, TransformContext } from '../transform-types.js'
import type { TransformInput, TransformOutput } from './mirror-record.js'

export type TransformOutcome = { outputs: TransformOutput[] } | { error: TwinlogError }

/** Calls one transform for one record after the other. What it does never throws: errors and time-outs are outcomes. */
export class TransformCaller {
  readonly #transform: Transform
  readonly #source: { topic: string; partition: number }
  readonly #timeoutMs: number
  /** Ends what has not answered yet. */
  readonly #running = new Set<(error: TwinlogError) => void>()

  constructor(o: { transform: Transform; source: { topic: string; partition: number }; timeoutMs: number }) {
    this.#transform = o.transform
    this.#source = o.source
    this.#timeoutMs = o.timeoutMs
  }

  /** A plain value where the transform is synchronous: nothing is awaited then. */
  call(input: TransformInput): TransformOutcome | Promise<TransformOutcome> {
    const context = new CallContext(this.#source, input.offset)
    try {
      const result: unknown = this.#transform(input.record, context.shown)
      return isThenable(result) ? this.#settled(input, result, context) : this.#judge(input, result)
    } catch (cause) {
      return { error: this.#threw(input, cause) }
    }
  }

  /** Ends every call that has not answered yet: their signals abort, their outcome is this error. */
  abort(error: TwinlogError): void {
    for (const end of [...this.#running]) end(error)
  }

  #settled(input: TransformInput, result: PromiseLike<unknown>, context: CallContext): Promise<TransformOutcome> {
    return new Promise(resolve => {
      const end = (error: TwinlogError) => {
        settle({ error })
        context.abort(error)
      }
      const settle = (outcome: TransformOutcome) => {
        clearTimeout(timer)
        this.#running.delete(end)
        resolve(outcome)
      }
      // After a pause of the whole process the answer may be waiting behind the timer: it comes first.
      const timer = setTimeout(
        () => setImmediate(() => this.#running.has(end) && end(this.#late(input))),
        this.#timeoutMs
      )
      this.#running.add(end)
      Promise.resolve(result).then(
        value => settle(this.#judge(input, value)),
        (cause: unknown) => settle({ error: this.#threw(input, cause) })
      )
    })
  }

  #judge(input: TransformInput, result: unknown): TransformOutcome {
    try {
      return { outputs: input.outputs(result) }
    } catch (cause) {
      // Getters and proxies of the transform's own may throw as well.
      if (!(cause instanceof TwinlogError)) return { error: this.#threw(input, cause) }
      const { code, message } = cause
      return { error: new TwinlogError(code, `${message} (${this.#at(input)})`, this.#context(input)) }
    }
  }

  /** The message of what was thrown may quote the record, so it stays in `cause`. */
  #threw(input: TransformInput, cause: unknown): TwinlogError {
    const message = `the transform failed with ${nameOf(cause)} at ${this.#at(input)}; see the error's cause`
    return new TwinlogError('TWINLOG_TRANSFORM_FAILED', message, { ...this.#context(input), cause })
  }

  #late(input: TransformInput): TwinlogError {
    const message = `the transform took longer than ${this.#timeoutMs} ms (transformTimeoutMs) at ${this.#at(input)}`
    return new TwinlogError('TWINLOG_TIMEOUT', message, { ...this.#context(input), retriable: true })
  }

  #at(input: TransformInput): string {
    return `offset ${input.offset} of ${this.#source.topic}-${this.#source.partition}`
  }

  #context(input: TransformInput) {
    return { topic: this.#source.topic, partition: this.#source.partition, offset: input.offset }
  }
}

/** What a call sees. Most transforms never look at the signal, so it is made when somebody does. */
class CallContext {
  readonly shown: TransformContext
  #controller: AbortController | undefined
  #reason: TwinlogError | undefined

  constructor(source: { topic: string; partition: number }, offset: bigint) {
    const signal = () => this.#signal()
    this.shown = {
      topic: source.topic,
      partition: source.partition,
      offset,
      get signal() {
        return signal()
      }
    }
  }

  abort(reason: TwinlogError): void {
    this.#reason = reason
    this.#controller?.abort(reason)
  }

  #signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#reason !== undefined) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function'

/** Name of an error's class, if it looks like one. */
function nameOf(cause: unknown): string {
  const name = cause instanceof Error ? cause.name : undefined
  return name !== undefined && /^[A-Za-z_$][\w$]{0,60}$/.test(name) ? name : 'an error'
}
