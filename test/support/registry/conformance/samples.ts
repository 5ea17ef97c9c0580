/** Schemas of the table. As text: the layout counts. */
export const avro = {
  user: '{"type":"record","name":"User","fields":[{"name":"name","type":"string"}]}',
  userSpaced: '{ "type" : "record", "name" : "User",\n  "fields" : [ { "name" : "name", "type" : "string" } ] }',
  userReordered: '{"name":"User","fields":[{"type":"string","name":"name"}],"type":"record"}',
  userDoc: '{"type":"record","name":"User","doc":"somebody","fields":[{"name":"name","type":"string"}]}',
  userAge:
    '{"type":"record","name":"User","fields":[{"name":"name","type":"string"},{"name":"age","type":"int","default":0}]}',
  userAgeNoDefault:
    '{"type":"record","name":"User","fields":[{"name":"name","type":"string"},{"name":"age","type":"int"}]}',
  userInt: '{"type":"record","name":"User","fields":[{"name":"name","type":"int"}]}',
  userLong: '{"type":"record","name":"User","fields":[{"name":"name","type":"long"}]}',
  empty: '{"type":"record","name":"User","fields":[]}',
  color: '{"type":"enum","name":"Color","symbols":["RED","GREEN"]}',
  colorMore: '{"type":"enum","name":"Color","symbols":["RED","GREEN","BLUE"]}',
  dep: '{"type":"record","name":"Dep","namespace":"com.x","fields":[{"name":"v","type":"int"}]}',
  usesDep: '{"type":"record","name":"Holder","namespace":"com.x","fields":[{"name":"d","type":"com.x.Dep"}]}',
  usesHolder: '{"type":"record","name":"Top","namespace":"com.x","fields":[{"name":"h","type":"com.x.Holder"}]}',
  noFields: '{"type":"record","name":"X"}',
  string: '"string"',
  int: '"int"',
  long: '"long"',
  bytes: '"bytes"'
}

export const json = {
  open: '{"type":"object","properties":{"a":{"type":"string"}}}',
  openSpaced: '{ "type": "object", "properties": { "a": { "type": "string" } } }',
  openReordered: '{"properties":{"a":{"type":"string"}},"type":"object"}',
  openInt: '{"type":"object","properties":{"a":{"type":"integer"}}}',
  closed: '{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}',
  closedMore:
    '{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"}},"additionalProperties":false}',
  wrongType: '{"type":12}',
  dep: '{"type":"object","properties":{"v":{"type":"integer"}}}',
  usesDep: '{"type":"object","properties":{"d":{"$ref":"dep.json"}}}'
}

export const proto = {
  m: 'syntax = "proto3";\nmessage M {\n  string a = 1;\n}\n',
  mStored: 'syntax = "proto3";\n\nmessage M {\n  string a = 1;\n}\n',
  mSpaced: 'syntax = "proto3";\n\n\n// said\nmessage   M { string a = 1; }\n',
  mMore: 'syntax = "proto3";\nmessage M {\n  string a = 1;\n  int32 b = 2;\n}\n',
  mInt: 'syntax = "proto3";\nmessage M {\n  int32 a = 1;\n}\n',
  broken: 'message {',
  dep: 'syntax = "proto3";\npackage dep;\nmessage D {\n  int32 v = 1;\n}\n',
  usesDep: 'syntax = "proto3";\nimport "dep.proto";\nmessage H {\n  dep.D d = 1;\n}\n'
}

export const asJson = { schemaType: 'JSON' }
export const asProto = { schemaType: 'PROTOBUF' }

/** Unlike any other: an Avro schema whose content nobody else registered. */
export function own(api: { prefix: string }, name = 'Own', fields = '{"name":"a","type":"int"}'): string {
  const space = api.prefix.replaceAll(/[^A-Za-z0-9_]/g, '_')
  return `{"type":"record","name":"${name}","namespace":"n${space}","fields":[${fields}]}`
}
