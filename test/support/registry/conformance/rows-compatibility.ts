import assert from 'node:assert/strict'
import { at, type RowApi, rows } from './row.js'
import { asJson, asProto, avro, json, proto } from './samples.js'

/** What a level says when `next` follows `history`. */
function verdict(level: string, history: string[], next: string, wanted: boolean, extra: object = {}) {
  return async (api: RowApi): Promise<void> => {
    await api.setConfig(api.subject(), { compatibility: 'NONE' })
    for (const schema of history) await api.register(api.subject(), schema, extra)
    await api.setConfig(api.subject(), { compatibility: level })
    const path = `/compatibility/subjects/${api.subject()}/versions`
    const body = await api.ok('POST', path, { schema: next, ...extra })
    assert.equal(at(body, 'is_compatible'), wanted)
    if (wanted) await api.register(api.subject(), next, extra)
    else await api.registerRefused(409, 409, api.subject(), next, extra)
  }
}

const { user, userAge, userAgeNoDefault, userInt, userLong, color, colorMore, string, int, long } = avro

/** As a Confluent 7.9.0 was seen to answer: string, int, string with a new field, and then that field without its default. */
const recorded = {
  NONE: true,
  BACKWARD: true,
  BACKWARD_TRANSITIVE: false,
  FORWARD: true,
  FORWARD_TRANSITIVE: false,
  FULL: true,
  FULL_TRANSITIVE: false
}

export const compatibilityRows = [
  ...rows(
    'compatibility',
    Object.fromEntries(
      Object.entries(recorded).map(([level, wanted]) => [
        `${level}: three versions that contradict each other`,
        verdict(level, [user, userInt, userAge], userAgeNoDefault, wanted)
      ])
    )
  ),
  ...rows('compatibility', {
    'BACKWARD: a field with a default may be added': verdict('BACKWARD', [user], userAge, true),
    'BACKWARD: a field without a default may not be added': verdict('BACKWARD', [user], userAgeNoDefault, false),
    'BACKWARD: a field may be removed': verdict('BACKWARD', [userAgeNoDefault], user, true),
    'BACKWARD: a type may not change': verdict('BACKWARD', [user], userInt, false),
    'BACKWARD: int may become long': verdict('BACKWARD', [userInt], userLong, true),
    'BACKWARD: long may not become int': verdict('BACKWARD', [userLong], userInt, false),
    'BACKWARD: string may become bytes': verdict('BACKWARD', [string], avro.bytes, true),
    'BACKWARD: a symbol may be added': verdict('BACKWARD', [color], colorMore, true),
    'BACKWARD: a symbol may not be removed': verdict('BACKWARD', [colorMore], color, false),
    'BACKWARD: a type may become a union with it': verdict('BACKWARD', [string], '["null","string"]', true),
    'BACKWARD: a union may not lose a type': verdict('BACKWARD', ['["null","string"]'], string, false),
    'BACKWARD: a record may not get another name': verdict('BACKWARD', [user], user.replace('User', 'Other'), false),
    'BACKWARD: only the newest version counts': verdict('BACKWARD', [userInt, string], string, true),
    'BACKWARD_TRANSITIVE: every version counts': verdict('BACKWARD_TRANSITIVE', [string, int], long, false),
    'BACKWARD: the newest one alone would do': verdict('BACKWARD', [string, int], long, true),
    'FORWARD: a field without a default may be added': verdict('FORWARD', [user], userAgeNoDefault, true),
    'FORWARD: a field without a default may not be removed': verdict('FORWARD', [userAgeNoDefault], user, false),
    'FORWARD: a field with a default may be removed': verdict('FORWARD', [userAge], user, true),
    'FORWARD: long may become int': verdict('FORWARD', [userLong], userInt, true),
    'FORWARD: int may not become long': verdict('FORWARD', [userInt], userLong, false),
    'FORWARD_TRANSITIVE: every version counts': verdict('FORWARD_TRANSITIVE', [string, long], int, false),
    'FULL: a field with a default may be added': verdict('FULL', [user], userAge, true),
    'FULL: a field without a default may not be removed': verdict('FULL', [userAgeNoDefault], user, false),
    'FULL: a field without a default may not be added': verdict('FULL', [user], userAgeNoDefault, false),
    'FULL_TRANSITIVE: every version counts': verdict('FULL_TRANSITIVE', [userInt, userAge], user, false),
    'NONE: anything goes': verdict('NONE', [user], string, true),
    'JSON: a property may be added to a closed object': verdict(
      'BACKWARD',
      [json.closed],
      json.closedMore,
      true,
      asJson
    ),
    'JSON: a property may not leave a closed object': verdict(
      'BACKWARD',
      [json.closedMore],
      json.closed,
      false,
      asJson
    ),
    'JSON: a type may not change': verdict('BACKWARD', [json.open], json.openInt, false, asJson),
    'Protobuf: a field may be added': verdict('BACKWARD', [proto.m], proto.mMore, true, asProto),
    'Protobuf: a field may be removed': verdict('BACKWARD', [proto.mMore], proto.m, true, asProto),
    'Protobuf: a type may not change': verdict('BACKWARD', [proto.m], proto.mInt, false, asProto)
  }),
  ...rows('compatibility', {
    'an unknown subject is compatible with anything': async api => {
      const body = await api.ok('POST', `/compatibility/subjects/${api.subject()}/versions`, { schema: user })
      assert.equal(at(body, 'is_compatible'), true)
    },
    'the latest version of an unknown subject is compatible with anything': async api => {
      const body = await api.ok('POST', `/compatibility/subjects/${api.subject()}/versions/latest`, { schema: user })
      assert.equal(at(body, 'is_compatible'), true)
    },
    'an unknown version is 40402': async api => {
      await api.register(api.subject(), user)
      await api.refused(404, 40402, 'POST', `/compatibility/subjects/${api.subject()}/versions/2`, { schema: user })
    },
    'a version that is none is 42202': async api => {
      await api.register(api.subject(), user)
      await api.refused(422, 42202, 'POST', `/compatibility/subjects/${api.subject()}/versions/0`, { schema: user })
    },
    'one version by number': async api => {
      await api.setConfig(api.subject(), { compatibility: 'NONE' })
      await api.register(api.subject(), user)
      await api.register(api.subject(), userInt)
      await api.setConfig(api.subject(), { compatibility: 'BACKWARD' })
      const path = `/compatibility/subjects/${api.subject()}/versions`
      assert.equal(at(await api.ok('POST', `${path}/1`, { schema: userAge }), 'is_compatible'), true)
      assert.equal(at(await api.ok('POST', `${path}/2`, { schema: userAge }), 'is_compatible'), false)
    },
    'verbose: nothing to say when it is compatible': async api => {
      await api.register(api.subject(), user)
      const path = `/compatibility/subjects/${api.subject()}/versions?verbose=true`
      assert.deepEqual(await api.ok('POST', path, { schema: userAge }), { is_compatible: true, messages: [] })
    },
    'verbose: the reasons, the old version and the level': async api => {
      await api.setConfig(api.subject(), { compatibility: 'BACKWARD' })
      await api.register(api.subject(), user)
      const path = `/compatibility/subjects/${api.subject()}/versions/latest?verbose=true`
      const body = await api.ok('POST', path, { schema: userInt })
      const messages = JSON.stringify(at(body, 'messages'))
      assert.match(messages, /TYPE_MISMATCH/)
      assert.match(messages, /oldSchemaVersion: 1/)
      assert.match(messages, /compatibility: 'BACKWARD'/)
    },
    'something broken is 42201': async api => {
      const path = `/compatibility/subjects/${api.subject()}/versions`
      await api.refused(422, 42201, 'POST', path, { schema: avro.noFields })
    },
    'a soft-deleted version is not there': async api => {
      await api.register(api.subject(), user)
      await api.deleteVersion(api.subject(), 1)
      const path = `/compatibility/subjects/${api.subject()}/versions`
      assert.equal(at(await api.ok('POST', path, { schema: userInt }), 'is_compatible'), true)
      await api.refused(404, 40402, 'POST', `${path}/1`, { schema: userInt })
    },
    'asking changes nothing': async api => {
      await api.register(api.subject(), user)
      await api.ok('POST', `/compatibility/subjects/${api.subject()}/versions`, { schema: userAge })
      assert.deepEqual(await api.versions(api.subject()), [1])
    },
    'a compatibility group: only versions of the same group count': async api => {
      const major = (value: string): object => ({ metadata: { properties: { major: value } } })
      await api.setConfig(api.subject(), { compatibility: 'BACKWARD', compatibilityGroup: 'major' })
      await api.register(api.subject(), user, major('1'))
      await api.register(api.subject(), userInt, major('2'))
      await api.registerRefused(409, 409, api.subject(), userLong, major('1'))
      await api.register(api.subject(), userLong, major('2'))
      assert.deepEqual(await api.versions(api.subject()), [1, 2, 3])
    }
  })
]
