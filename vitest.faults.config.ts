import { defineConfig } from 'vitest/config'

/** `npm run test:workers` asks for the mode `long`. */
const WORKERS_MS = { long: 300_000, short: 40_000 }

// The fault campaigns. `npm test` runs their short form.
export default defineConfig(({ mode }) => ({
  test: {
    include: ['test/faults/**/*.test.ts'],
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 180_000,
    teardownTimeout: 20_000,
    env: { TWINLOG_WORKERS_MS: String(mode === 'long' ? WORKERS_MS.long : WORKERS_MS.short) }
  }
}))
