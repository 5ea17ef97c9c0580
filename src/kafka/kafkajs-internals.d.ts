// kafkajs has no types for its inner files; these are the shapes of 2.2.4 that we rely on (pinned by a test).

declare module 'kafkajs/src/network/socketFactory.js' {
  import type { ISocketFactory } from 'kafkajs'
  const createSocketFactory: () => ISocketFactory
  export default createSocketFactory
}

declare module 'kafkajs/src/network/requestQueue/index.js' {
  // As KafkajsRequestQueue of internals.ts, which an ambient module cannot import.
  class RequestQueue {
    constructor(options: Record<string, unknown>)
    pending: unknown[]
    throttledUntil: number
    scheduleCheckPendingRequests: () => void
    checkPendingRequests: () => void
    destroy(): void
  }
  export default RequestQueue
}

declare module 'kafkajs/src/broker/saslAuthenticator/index.js' {
  export interface SaslProtocol {
    request: {
      apiKey: number
      apiName: string
      apiVersion: number
      encode(): Promise<{ buffer: Buffer }>
    }
    response: { decode(data: Buffer): Promise<unknown>; parse(decoded: unknown): Promise<unknown> }
  }

  export interface SaslLogger {
    namespace(name: string): SaslLogger
    debug(message: string, extra?: object): void
    info(message: string, extra?: object): void
    warn(message: string, extra?: object): void
    error(message: string, extra?: object): void
  }

  export interface SaslConnection {
    host: string
    port: number
    sasl: object
    send(protocol: SaslProtocol): Promise<unknown>
    sendAuthRequest(protocol: unknown): Promise<unknown>
  }

  class SASLAuthenticator {
    constructor(
      connection: SaslConnection,
      logger: SaslLogger,
      versions: Record<number, { minVersion: number; maxVersion: number }>,
      supportAuthenticationProtocol: boolean
    )
    /** Decimal milliseconds; '0' means for ever. */
    sessionLifetime: string
    authenticate(): Promise<void>
  }
  export default SASLAuthenticator
}
