import { describe, expect, it } from 'vitest'
import type { RegistryClient, RegistryLevelConfig } from '../../../src/schemas/registry-types.js'
import { SettingsReader } from '../../../src/schemas/settings-reader.js'

/** Answers for a subject as Apicurio 3.3.3 does: NONE where nothing is set, and with `defaultToGlobal` what counts. */
function apicurio(registry: string, levels: Record<string, string | undefined>) {
  const asked: string[] = []
  const config = (scope: string | undefined, o: { resolved?: boolean | undefined } = {}) => {
    asked.push(`${scope ?? ''}${o.resolved === true ? ' resolved' : ''}`)
    const own = scope === undefined ? registry : levels[scope]
    const answer: RegistryLevelConfig = { compatibilityLevel: own ?? (o.resolved === true ? registry : 'NONE') }
    return Promise.resolve(answer)
  }
  const mode = () => Promise.resolve('READWRITE')
  return { asked, client: { config, mode } as unknown as RegistryClient }
}

async function read(client: RegistryClient, scopes: string[], exact = false) {
  const reader = new SettingsReader(client, { exact })
  await reader.readConfigs(scopes, { concurrency: 4 })
  return scopes.map(scope => reader.settings.configs.get(scope)?.compatibilityLevel)
}

describe('settings of a registry that answers for subjects without any', () => {
  // Symptom: SchemaSync set NONE on every subject of the target, and the target took schemas that the source would have refused.
  it('does not take NONE for a level that was set where another one counts', async () => {
    const { client } = apicurio('BACKWARD', { full: 'FULL', none: 'NONE', alike: 'BACKWARD' })
    // A level that was set counts as set when it is the registry's, too: clients see it.
    expect(await read(client, ['unset', 'full', 'none', 'alike'])).toEqual([undefined, 'FULL', 'NONE', 'BACKWARD'])
  })

  it('does not take NONE for set where it is the registry’s level', async () => {
    const { client } = apicurio('NONE', { full: 'FULL' })
    expect(await read(client, ['unset', 'full'])).toEqual([undefined, 'FULL'])
  })

  it('asks twice only for NONE, and not at all where the registry answers exactly', async () => {
    const { client, asked } = apicurio('BACKWARD', { full: 'FULL' })
    await read(client, ['full'])
    expect(asked).toEqual(['full'])
    expect(await read(client, ['unset'], true)).toEqual(['NONE'])
    expect(asked).toEqual(['full', 'unset'])
  })
})
