import { defineConfig, type Options } from 'tsup'

const shared: Options = {
  entry: ['src/index.ts'],
  dts: true,
  target: 'node20',
  sourcemap: true,
  treeshake: true,
  // tsup leaves dependencies alone but would bundle optional ones, native binaries and all.
  external: ['@bokuweb/zstd-wasm', '@node-rs/crc32', 'lz4-napi', 'snappy']
}

// p-retry is ESM only: the CommonJS build inlines it so that Jest and other loaders without require(esm) work too.
// `clean` would race between the two parallel builds, so the npm script empties dist/ first.
export default defineConfig([
  { ...shared, format: 'esm' },
  { ...shared, format: 'cjs', noExternal: ['p-retry', 'is-network-error'] }
])
