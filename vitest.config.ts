import { defineConfig } from 'vitest/config'

// Broker suites share two cores: files run one after another, each file starts what it needs and ends it.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/faults/**', 'test/shapes/**', 'node_modules/**', 'dist/**'],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 120_000,
    teardownTimeout: 20_000,
    reporters: ['default']
  }
})
