import assert from 'node:assert/strict'
import { at, type RowApi, rows, textAt, versionsOf } from './row.js'
import { avro, own } from './samples.js'

const levels = ['NONE', 'BACKWARD', 'BACKWARD_TRANSITIVE', 'FORWARD', 'FORWARD_TRANSITIVE', 'FULL', 'FULL_TRANSITIVE']

async function kept(api: RowApi, config: { [key: string]: unknown }): Promise<void> {
  assert.deepEqual(await api.setConfig(api.subject(), config), config)
  assert.deepEqual(await api.config(api.subject()), { compatibilityLevel: 'BACKWARD', ...config })
}

export const configRows = [
  ...rows(
    'config',
    Object.fromEntries(
      levels.map(level => [
        `${level} is taken, echoed and told`,
        async (api: RowApi) => {
          assert.equal(at(await api.setConfig(api.subject(), { compatibility: level }), 'compatibility'), level)
          assert.equal(at(await api.config(api.subject()), 'compatibilityLevel'), level)
        }
      ])
    )
  ),
  ...rows('config', {
    'where nothing is set: 40408': async api => {
      await api.refused(404, 40408, 'GET', `/config/${api.subject()}`)
    },
    'where nothing is set, defaultToGlobal tells the registry’s': async api => {
      const level = at(await api.get('/config'), 'compatibilityLevel')
      assert.equal(at(await api.config(api.subject(), '?defaultToGlobal=true'), 'compatibilityLevel'), level)
    },
    'the answer has nothing that was not set': async api => {
      assert.deepEqual(await api.setConfig(api.subject(), { compatibility: 'FULL' }), { compatibility: 'FULL' })
      assert.deepEqual(await api.config(api.subject()), { compatibilityLevel: 'FULL' })
    },
    'level names in any case, echoed as written': async api => {
      assert.deepEqual(await api.setConfig(api.subject(), { compatibility: 'Full' }), { compatibility: 'Full' })
      assert.equal(at(await api.config(api.subject()), 'compatibilityLevel'), 'FULL')
    },
    'an unknown level is 42203': async api => {
      await api.refused(422, 42203, 'PUT', `/config/${api.subject()}`, { compatibility: 'SOME' })
      await api.refused(404, 40408, 'GET', `/config/${api.subject()}`)
    },
    'a subject may have a config before it exists': async api => {
      await api.setConfig(api.subject(), { compatibility: 'NONE' })
      await api.refused(404, 40401, 'GET', versionsOf(api.subject()))
    },
    'deleting it answers with the old one': async api => {
      await api.setConfig(api.subject(), { compatibility: 'FULL' })
      const old = await api.ok('DELETE', `/config/${api.subject()}`)
      assert.equal(at(old, 'compatibilityLevel'), 'FULL')
      await api.refused(404, 40408, 'GET', `/config/${api.subject()}`)
    },
    'deleting what is not set is 40401': async api => {
      await api.refused(404, 40401, 'DELETE', `/config/${api.subject()}`)
    },
    'normalize is kept': api => kept(api, { normalize: true }),
    'normalize: false is kept': api => kept(api, { normalize: false }),
    'alias is kept': api => kept(api, { alias: api.subject('other') }),
    'compatibilityGroup is kept': api => kept(api, { compatibilityGroup: 'application.version' }),
    'validateFields is kept': api => kept(api, { validateFields: true }),
    'validateRules is kept': api => kept(api, { validateRules: true }),
    'defaultMetadata is kept': api => kept(api, { defaultMetadata: { properties: { owner: 'x' } } }),
    'overrideMetadata is kept': api =>
      kept(api, { overrideMetadata: { tags: { a: ['PII'] }, properties: { owner: 'x' }, sensitive: ['owner'] } }),
    'defaultRuleSet is kept': api => kept(api, { defaultRuleSet: ruleSet }),
    'overrideRuleSet is kept': api => kept(api, { overrideRuleSet: ruleSet }),
    'what a second PUT does not name stays': async api => {
      await api.setConfig(api.subject(), { compatibility: 'FULL' })
      await api.setConfig(api.subject(), { normalize: true })
      await api.setConfig(api.subject(), {})
      assert.deepEqual(await api.config(api.subject()), { compatibilityLevel: 'FULL', normalize: true })
    },
    'null is: not named': async api => {
      await api.setConfig(api.subject(), { compatibility: 'FULL', normalize: true })
      await api.setConfig(api.subject(), { compatibility: 'NONE', normalize: null })
      assert.deepEqual(await api.config(api.subject()), { compatibilityLevel: 'NONE', normalize: true })
    },
    'a boolean that is none is 400': async api => {
      assert.equal((await api.call('PUT', `/config/${api.subject()}`, { normalize: 'yes' })).status, 400)
    },
    'an alias leads to the other subject': async api => {
      await api.register(api.subject('target'), own(api))
      await api.setConfig(api.subject('alias'), { alias: api.subject('target') })
      assert.deepEqual(await api.versions(api.subject('alias')), [1])
      assert.equal(at(await api.version(api.subject('alias'), 1), 'subject'), api.subject('target'))
    },
    'what is registered under an alias goes to the other subject': async api => {
      await api.register(api.subject('target'), avro.user)
      await api.setConfig(api.subject('alias'), { alias: api.subject('target') })
      await api.register(api.subject('alias'), avro.userAge)
      assert.deepEqual(await api.versions(api.subject('target')), [1, 2])
    },
    'an alias has a config of its own': async api => {
      await api.setConfig(api.subject('alias'), { alias: api.subject('target'), compatibility: 'NONE' })
      assert.equal(at(await api.config(api.subject('alias')), 'compatibilityLevel'), 'NONE')
      await api.refused(404, 40408, 'GET', `/config/${api.subject('target')}`)
    },
    'GET /schemas?aliases=true tells aliases': async api => {
      await api.register(api.subject('target'), own(api))
      await api.setConfig(api.subject('alias'), { alias: api.subject('target') })
      const list = await api.get(`/schemas?subjectPrefix=${api.prefix}&aliases=true`)
      assert.deepEqual(at(list, 0, 'aliases'), [api.subject('alias')])
    },
    'the registry always has a level': async api => {
      assert.ok(levels.includes(textAt(await api.get('/config'), 'compatibilityLevel')))
    },
    'there is no POST of a config': async api => {
      assert.equal((await api.call('POST', '/config', { compatibility: 'NONE' })).status, 405)
    }
  }),
  ...rows(
    'config',
    {
      'the registry’s level counts for subjects without one': async api => {
        await changeRegistry(api, { compatibility: 'NONE' })
        await api.register(api.subject(), avro.user)
        await api.register(api.subject(), avro.userInt)
        assert.equal(at(await api.config(api.subject(), '?defaultToGlobal=true'), 'compatibilityLevel'), 'NONE')
      },
      'a subject’s own level goes before the registry’s': async api => {
        await changeRegistry(api, { compatibility: 'NONE' })
        await api.setConfig(api.subject(), { compatibility: 'BACKWARD' })
        await api.register(api.subject(), avro.user)
        await api.registerRefused(409, 409, api.subject(), avro.userInt)
      },
      'deleting the registry’s config leaves BACKWARD': async api => {
        await changeRegistry(api, { compatibility: 'FULL' })
        assert.equal(at(await api.ok('DELETE', '/config'), 'compatibilityLevel'), 'FULL')
        assert.equal(at(await api.get('/config'), 'compatibilityLevel'), 'BACKWARD')
      }
    },
    'registry'
  )
]

const ruleSet = {
  domainRules: [{ name: 'r', kind: 'CONDITION', mode: 'WRITE', type: 'CEL', expr: 'true' }]
}

async function changeRegistry(api: RowApi, config: object): Promise<void> {
  const before = at(await api.get('/config'), 'compatibilityLevel')
  api.afterwards(() => api.call('PUT', '/config', { compatibility: before }))
  await api.ok('PUT', '/config', config)
}
