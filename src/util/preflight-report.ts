/** Result of a check made before anything was changed. */
export interface PreflightReport {
  ok: boolean
  checks: { name: string; result: 'pass' | 'warn' | 'fail'; detail: string; remedy?: string }[]
}
