import { defineConfig } from 'vitest/config'

// The long form of the fault campaigns. `npm test` runs their short form.
export default defineConfig({
  test: {
    include: ['test/faults/**/*.test.ts'],
    fileParallelism: false,
    testTimeout: 600_000,
    hookTimeout: 180_000,
    teardownTimeout: 20_000,
    env: { TWINLOG_CAMPAIGN: 'long' }
  }
})
