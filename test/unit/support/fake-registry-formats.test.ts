import { describe, expect, it } from 'vitest'
import { avroDifferences } from '../../support/registry/fake/avro-compatibility.js'
import { readAvro } from '../../support/registry/fake/avro.js'
import { writeAvro } from '../../support/registry/fake/avro-text.js'
import { jsonSchemaDifferences, jsonSchemaFault } from '../../support/registry/fake/json-schema.js'
import { readJson, writeJson } from '../../support/registry/fake/json-text.js'
import { readProtobuf } from '../../support/registry/fake/protobuf.js'
import { writeProtobuf } from '../../support/registry/fake/protobuf-text.js'
import { protobufDifferences, unresolvedType } from '../../support/registry/fake/protobuf-types.js'

describe('JSON text', () => {
  it.each([
    '{"2":1,"1":2}',
    '[1.50,12345678901234567890,-0,1e400]',
    '{"a":{"b":[true,false,null,"\\"x\\\\"]}}',
    '""',
    '{}'
  ])('%s comes out as it went in', text => {
    expect(writeJson(readJson(text))).toBe(text)
  })

  it('loses blanks, and order where it is told to', () => {
    expect(writeJson(readJson(' { "b" : 1 , "a" : [ ] } '), { sortKeys: true })).toBe('{"a":[],"b":1}')
  })

  it.each(['', '{', '{"a"}', '[1,]', 'nul', '01', '"\n"', '1 2', "{'a':1}"])('%j is none', text => {
    expect(() => readJson(text)).toThrow(/Unexpected/)
  })
})

describe('Avro text', () => {
  const spelled = (text: string): string => writeAvro(readAvro(text))

  it('spells a named type out once', () => {
    const type = '{"type":"record","name":"P","namespace":"n","fields":[]}'
    expect(
      spelled(
        `{"type":"record","name":"A","namespace":"m","fields":[{"name":"x","type":${type}},{"name":"y","type":"n.P"}]}`
      )
    ).toBe(
      `{"type":"record","name":"A","namespace":"m","fields":[{"name":"x","type":${type}},{"name":"y","type":"n.P"}]}`
    )
  })

  it('knows types that contain themselves', () => {
    const list = '{"type":"record","name":"L","fields":[{"name":"next","type":["null","L"],"default":null}]}'
    expect(spelled(list)).toBe(list)
    expect(avroDifferences(readAvro(list), readAvro(list))).toEqual([])
  })

  it('puts a full name apart into name and namespace', () => {
    expect(spelled('{"type":"fixed","name":"a.b.F","size":4}')).toBe(
      '{"type":"fixed","name":"F","namespace":"a.b","size":4}'
    )
  })
})

describe('Avro compatibility', () => {
  const differences = (reader: string, writer: string): string[] => avroDifferences(readAvro(reader), readAvro(writer))
  const record = (fields: string): string => `{"type":"record","name":"R","fields":[${fields}]}`

  it('words it as Confluent does', () => {
    expect(differences(record('{"name":"a","type":"int"}'), record('{"name":"a","type":"string"}'))).toEqual([
      "{errorType:'TYPE_MISMATCH', description:'The type (path '/fields/0/type') of a field in the new schema does not match with the old schema', additionalInfo:'reader type: INT not compatible with writer type: STRING'}"
    ])
    expect(differences(record('{"name":"a","type":"int"}'), record(''))).toEqual([
      "{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', description:'The field 'a' at path '/fields/0' in the new schema has no default value and is missing in the old schema', additionalInfo:'a'}"
    ])
    expect(differences('"int"', '"string"')).toEqual([
      "{errorType:'TYPE_MISMATCH', description:'The type (path '/') of a field in the new schema does not match with the old schema', additionalInfo:'reader type: INT not compatible with writer type: STRING'}"
    ])
  })

  it.each([
    ['"long"', '"int"'],
    ['"double"', '"float"'],
    ['"string"', '"bytes"'],
    ['["null","long"]', '["null","int"]'],
    ['{"type":"array","items":"double"}', '{"type":"array","items":"int"}'],
    [record('{"name":"b","type":"int","aliases":["a"]}'), record('{"name":"a","type":"int"}')],
    ['{"type":"enum","name":"E","symbols":["A"],"default":"A"}', '{"type":"enum","name":"E","symbols":["A","B"]}']
  ])('%s reads %s', (reader, writer) => {
    expect(differences(reader, writer)).toEqual([])
  })

  it.each([
    ['"int"', '"long"'],
    ['"int"', '["null","int"]'],
    ['{"type":"map","values":"int"}', '{"type":"array","items":"int"}'],
    ['{"type":"fixed","name":"F","size":4}', '{"type":"fixed","name":"F","size":8}'],
    ['{"type":"enum","name":"E","symbols":["A"]}', '{"type":"enum","name":"E","symbols":["A","B"]}'],
    [record(''), '{"type":"record","name":"Q","fields":[]}']
  ])('%s does not read %s', (reader, writer) => {
    expect(differences(reader, writer)).not.toEqual([])
  })
})

describe('Protobuf text, as a Confluent 7.9.0 was seen to store it', () => {
  it.each([
    ['message M { optional string a = 1; }', '\nmessage M {\n  optional string a = 1;\n}\n'],
    [
      'syntax="proto3"; message M { string a = 1 [deprecated = true, json_name = "A"]; } service S { rpc Get (M) returns (M); }',
      'syntax = "proto3";\n\nmessage M {\n  string a = 1 [\n    deprecated = true,\n    json_name = "A"\n  ];\n}\n\nservice S {\n  rpc Get (M) returns (M);\n}\n'
    ],
    [
      'syntax="proto3"; service S { rpc A (stream M) returns (stream M); rpc B (M) returns (M) { option deprecated = true; } } message M {string a=1;}',
      'syntax = "proto3";\n\nmessage M {\n  string a = 1;\n}\n\nservice S {\n  rpc A (stream M) returns (stream M);\n  rpc B (M) returns (M) {\n    option deprecated = true;\n  };\n}\n'
    ],
    [
      'syntax="proto2"; message M { required int32 a = 1; extensions 100 to 199; optional string b = 2 [default = "hi"]; } extend M { optional int32 ext = 100; }',
      'syntax = "proto2";\n\nmessage M {\n  required int32 a = 1;\n  optional string b = 2 [default = "hi"];\n\n  extensions 100 to 199;\n}\n\nextend M {\n  optional int32 ext = 100;\n}\n'
    ],
    [
      'syntax="proto3"; enum E { option allow_alias = true; A = 0; B = 0; reserved 5, 7 to 9; reserved "X"; }',
      'syntax = "proto3";\n\nenum E {\n  reserved 5, 7 to 9;\n  reserved "X";\n  option allow_alias = true;\n  A = 0;\n  B = 0;\n}\n'
    ],
    [
      'syntax="proto3"; message M { map<string,int32> m = 1; oneof o { string x = 2; .M y = 3; } }',
      'syntax = "proto3";\n\nmessage M {\n  map<string, int32> m = 1;\n\n  oneof o {\n    string x = 2;\n    .M y = 3;\n  }\n}\n'
    ]
  ])('%s', (text, stored) => {
    expect(writeProtobuf(readProtobuf(text))).toBe(stored)
    expect(writeProtobuf(readProtobuf(stored))).toBe(stored)
  })

  it.each(['message {', 'syntax = "proto4";', 'message M { string a = x; }', 'message M {} message M {}', '"string"'])(
    '%s is refused',
    text => {
      expect(() => readProtobuf(text)).toThrow()
    }
  )

  it('finds types where Protobuf looks for them', () => {
    const file = readProtobuf(
      'syntax="proto3"; package p.q; message A { B b = 1; .p.q.A a = 2; q.A c = 3; I i = 4; google.protobuf.Any d = 5; message I { B b = 1; } } message B {}'
    )
    expect(unresolvedType(file, [])).toBeUndefined()
    expect(unresolvedType(readProtobuf('message A { dep.D d = 1; }'), [])).toBe('dep.D')
    expect(
      unresolvedType(readProtobuf('message A { dep.D d = 1; }'), [readProtobuf('package dep; message D {}')])
    ).toBeUndefined()
  })

  it('judges by what is on the wire', () => {
    const differences = (reader: string, writer: string): string[] =>
      protobufDifferences(readProtobuf(`message M {${reader}}`), readProtobuf(`message M {${writer}}`))
    expect(differences('int64 a = 1;', 'int32 a = 1;')).toEqual([])
    expect(differences('string a = 1; string b = 2;', 'string a = 1;')).toEqual([])
    expect(differences('int32 a = 1;', 'string a = 1;')).toEqual([
      '{errorType:"FIELD_SCALAR_KIND_CHANGED", description:"The kind of a SCALAR field at path \'#/M/1\' in the new schema does not match its kind in the old schema"}'
    ])
    expect(protobufDifferences(readProtobuf('message N {}'), readProtobuf('message M {}'))).toHaveLength(1)
  })
})

describe('JSON Schema', () => {
  const fault = (text: string, names: string[] = []): string | undefined => jsonSchemaFault(readJson(text), names)
  const differences = (reader: string, writer: string): string[] =>
    jsonSchemaDifferences(readJson(reader), readJson(writer))

  it.each(['true', '{}', '[]', '12', '{"type":["string","null"]}', '{"$ref":"#"}', '{"not":{"type":"string"}}'])(
    '%s passes',
    text => {
      expect(fault(text)).toBeUndefined()
    }
  )

  it.each([
    '{"type":12}',
    '{"type":"nope"}',
    '{"properties":[]}',
    '{"items":{"type":"nope"}}',
    '{"required":"a"}',
    '{"minimum":"x"}',
    '{"pattern":"("}',
    '{"$ref":"#/definitions/missing"}',
    '{"$ref":"dep.json"}'
  ])('%s is refused', text => {
    expect(fault(text)).toBeDefined()
  })

  it('knows what it may refer to', () => {
    expect(fault('{"$ref":"dep.json"}', ['dep.json'])).toBeUndefined()
    expect(fault('{"$ref":"#/definitions/a","definitions":{"a":{}}}')).toBeUndefined()
  })

  it('lets closed objects grow and open ones shrink', () => {
    const object = (properties: string, more = ''): string => `{"type":"object","properties":{${properties}}${more}}`
    const [a, b, closed] = ['"a":{"type":"string"}', '"b":{"type":"string"}', ',"additionalProperties":false']
    expect(differences(object(`${a},${b}`, closed), object(a, closed))).toEqual([])
    expect(differences(object(a), object(`${a},${b}`))).toEqual([])
    expect(differences(object(`${a},${b}`), object(a))).toHaveLength(1)
    expect(differences(object(a, closed), object(`${a},${b}`, closed))).toHaveLength(1)
    expect(differences(object(a, ',"title":"x"'), object(a))).toEqual([])
    expect(differences(object(a, ',"required":["a"]'), object(a))).toHaveLength(1)
    expect(differences(object(a, closed), object(a))).toHaveLength(1)
  })
})
