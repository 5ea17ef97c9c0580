/** Where a schema registry is, and how to get in. */
export interface RegistryConfig {
  /** Base URL (a path prefix is kept), or several for failover. */
  url: string | string[]
  auth?: { username: string; password: string } | { token: string } | undefined
  /** Sent with every request. */
  headers?: Record<string, string> | undefined
  /** Everything happens in this context, for example `.dr`. @defaultValue every context of the registry, names as they are */
  context?: string | undefined
  /** How long one request may take, in milliseconds. @defaultValue 10000 */
  timeoutMs?: number | undefined
  /** Attempts after the first one: on network errors, 429 and 5xx only, with jitter. @defaultValue 4 */
  retries?: number | undefined
  /** Handed to `fetch`: undici's `Agent` for client certificates, `ProxyAgent` for proxies. */
  dispatcher?: unknown
  /** Instead of the platform's. */
  fetch?: typeof fetch | undefined
}
