import assert from 'node:assert/strict'
import { at, type RowApi, rows, versionsOf } from './row.js'
import { asJson, asProto, avro, json, own, proto } from './samples.js'

async function stored(api: RowApi, schema: string, extra: object = {}, query = ''): Promise<unknown> {
  await api.register(api.subject(), schema, extra, query)
  return at(await api.version(api.subject(), 1), 'schema')
}

async function sameId(api: RowApi, a: string, b: string, extra: object = {}, query = ''): Promise<boolean> {
  const first = await api.register(api.subject('a'), a, extra, query)
  return first === (await api.register(api.subject('b'), b, extra, query))
}

export const textRows = [
  ...rows('texts', {
    'Avro: blanks do not count': async api => {
      assert.equal(await sameId(api, avro.user, avro.userSpaced), true)
    },
    'Avro: the order of keys does not count': async api => {
      assert.equal(await sameId(api, avro.user, avro.userReordered), true)
    },
    'Avro: stored without blanks, keys in Avro’s order': async api => {
      assert.equal(await stored(api, avro.userReordered), avro.user)
    },
    'Avro: a primitive as an object is stored as a name': async api => {
      assert.equal(await stored(api, '{"type":"string"}'), '"string"')
    },
    'Avro: a logical type is kept': async api => {
      const date = '{"type":"int","logicalType":"date"}'
      assert.equal(await stored(api, date), date)
    },
    'Avro: a changed doc is another schema and another version': async api => {
      const id = await api.register(api.subject(), avro.user)
      assert.notEqual(await api.register(api.subject(), avro.userDoc), id)
      assert.deepEqual(await api.versions(api.subject()), [1, 2])
    },
    'Avro: doc, default, order, aliases and own keys are kept': async api => {
      const text =
        '{"type":"record","name":"R","fields":[{"name":"a","type":"int","doc":"d","default":1,"order":"descending","aliases":["b"]}],"custom":"x","aliases":["Q"]}'
      assert.equal(await stored(api, text), text)
    },
    'Avro: a name in the enclosing namespace is stored short': async api => {
      const inner = '{"type":"record","name":"B","namespace":"n","fields":[]}'
      const text = (type: string): string =>
        `{"type":"record","name":"A","namespace":"n","fields":[{"name":"b","type":${type}}]}`
      assert.equal(await stored(api, text(inner)), text('{"type":"record","name":"B","fields":[]}'))
    },
    'Avro: a field with a default of the wrong type passes without normalize': async api => {
      await api.register(
        api.subject(),
        '{"type":"record","name":"X","fields":[{"name":"a","type":"int","default":"x"}]}'
      )
    },
    'JSON: blanks do not count': async api => {
      assert.equal(await sameId(api, json.open, json.openSpaced, asJson), true)
    },
    'JSON: the order of keys counts': async api => {
      assert.equal(await sameId(api, json.open, json.openReordered, asJson), false)
    },
    'JSON: with normalize the order of keys does not count': async api => {
      assert.equal(await sameId(api, json.open, json.openReordered, asJson, '?normalize=true'), true)
    },
    'JSON: with normalize it is stored with sorted keys': async api => {
      assert.equal(await stored(api, json.open, asJson, '?normalize=true'), json.openReordered)
    },
    'JSON: normalize in the subject’s config counts for register and lookup': async api => {
      await api.setConfig(api.subject(), { normalize: true })
      const id = await api.register(api.subject(), json.open, asJson)
      assert.equal(await api.register(api.subject(), json.openReordered, asJson), id)
      const found = await api.ok('POST', `/subjects/${api.subject()}`, { schema: json.openSpaced, ...asJson })
      assert.equal(at(found, 'schema'), json.openReordered)
    },
    'JSON: a lookup with normalize finds only what was stored so': async api => {
      await api.register(api.subject(), json.open, asJson)
      const path = `/subjects/${api.subject()}?normalize=true`
      await api.refused(404, 40403, 'POST', path, { schema: json.open, ...asJson })
    },
    'JSON: true is a schema': async api => {
      assert.equal(await stored(api, 'true', asJson), 'true')
    },
    'JSON: a reference inside the document must lead somewhere': async api => {
      await api.registerRefused(422, 42201, api.subject(), '{"$ref":"#/definitions/missing"}', asJson)
    },
    'Protobuf: blanks and comments do not count': async api => {
      assert.equal(await sameId(api, proto.m, proto.mSpaced, asProto), true)
    },
    'Protobuf: stored in the registry’s own layout': async api => {
      assert.equal(await stored(api, proto.m, asProto), proto.mStored)
    },
    'Protobuf: package, imports and options come before the messages': async api => {
      const text =
        'syntax = "proto3";\noption java_package = "a.b";\nimport "google/protobuf/timestamp.proto";\npackage p.q;\nmessage T {\n  google.protobuf.Timestamp ts = 1;\n}\n'
      assert.equal(
        await stored(api, text, asProto),
        'syntax = "proto3";\npackage p.q;\n\nimport "google/protobuf/timestamp.proto";\n\noption java_package = "a.b";\n\nmessage T {\n  google.protobuf.Timestamp ts = 1;\n}\n'
      )
    },
    'Protobuf: messages come before enums, nested types after fields': async api => {
      const text =
        'syntax = "proto3";\nenum E {\n  E0 = 0;\n}\nmessage M {\n  message I {\n    string x = 1;\n  }\n  I i = 1;\n  oneof o {\n    string s = 2;\n    E e = 3;\n  }\n  reserved 5, 7 to 9;\n}\n'
      assert.equal(
        await stored(api, text, asProto),
        'syntax = "proto3";\n\nmessage M {\n  reserved 5, 7 to 9;\n\n  I i = 1;\n\n  oneof o {\n    string s = 2;\n    E e = 3;\n  }\n\n  message I {\n    string x = 1;\n  }\n}\nenum E {\n  E0 = 0;\n}\n'
      )
    },
    'Protobuf: an unknown type is refused': async api => {
      const text = 'syntax = "proto3";\nmessage M {\n  Missing a = 1;\n}\n'
      await api.registerRefused(422, 42201, api.subject(), text, asProto)
    },
    'the schema type is left out for Avro and told for others': async api => {
      await api.register(api.subject('a'), avro.user)
      await api.register(api.subject('j'), json.open, asJson)
      await api.register(api.subject('p'), proto.m, asProto)
      const types = ['a', 'j', 'p'].map(async name => at(await api.version(api.subject(name), 1), 'schemaType'))
      assert.deepEqual(await Promise.all(types), [undefined, 'JSON', 'PROTOBUF'])
    },
    'what is empty is left out of a version': async api => {
      await api.register(api.subject(), own(api))
      assert.deepEqual(Object.keys((await api.version(api.subject(), 1)) as object).sort(), [
        'id',
        'schema',
        'subject',
        'version'
      ])
    }
  }),
  ...rows(
    'texts',
    Object.fromEntries(
      Object.entries({
        'an unknown type name': '{"type":"nosuchtype"}',
        'text that is no JSON': '{"type":"record",',
        'a name that begins with a digit': '{"type":"record","name":"1X","fields":[]}',
        'the same field twice':
          '{"type":"record","name":"X","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}',
        'a union in a union': '["null",["int"]]',
        'a type twice in a union': '["int","int"]',
        'an array without items': '{"type":"array"}',
        'a fixed without size': '{"type":"fixed","name":"F"}',
        'an enum symbol twice': '{"type":"enum","name":"E","symbols":["A","A"]}',
        'a type defined twice':
          '{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"record","name":"R","fields":[]}}]}',
        'something after the end': '"string" "x"'
      }).map(([what, schema]) => [
        `Avro: ${what} is refused`,
        async (api: RowApi) => {
          await api.refused(422, 42201, 'POST', versionsOf(api.subject()), { schema })
        }
      ])
    )
  )
]
