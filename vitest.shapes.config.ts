import { defineConfig } from 'vitest/config'

// Every shape of log × every compression. `npm test` runs a few of them.
export default defineConfig({
  test: {
    include: ['test/shapes/**/*.test.ts'],
    fileParallelism: false,
    testTimeout: 240_000,
    hookTimeout: 120_000,
    teardownTimeout: 20_000
  }
})
