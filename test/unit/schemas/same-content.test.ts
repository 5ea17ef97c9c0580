import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { SchemaContent } from '../../../src/schemas/registry-types.js'
import { compactJson, isUnset, sameReferences, sameText, sameValue } from '../../../src/schemas/same-content.js'

const avro = (schema: string): SchemaContent => ({ schemaType: 'AVRO', schema, references: [] })
const json = (schema: string): SchemaContent => ({ schemaType: 'JSON', schema, references: [] })
const proto = (schema: string): SchemaContent => ({ schemaType: 'PROTOBUF', schema, references: [] })

describe('the same text', () => {
  it('for Avro is blind to white space and the order of attributes, which registries change', () => {
    const written = '{"type": "record",\n "name": "Order", "fields": [ {"name":"id", "type":"long"} ]}'
    const stored = '{"name":"Order","type":"record","fields":[{"type":"long","name":"id"}]}'
    expect(sameText(avro(written), avro(stored))).toBe(true)
  })

  it('for Avro is not blind to doc, to the order of fields and to a default in the last digit', () => {
    const field = (rest: string) => avro(`{"type":"record","name":"A","fields":[{"name":"a","type":"long"${rest}}]}`)
    expect(sameText(field(''), field(',"doc":"x"'))).toBe(false)
    expect(sameText(field(',"default":9007199254740993'), field(',"default":9007199254740992'))).toBe(false)
    const fields = (names: string[]) => avro(JSON.stringify({ type: 'record', name: 'A', fields: names }))
    expect(sameText(fields(['a', 'b']), fields(['b', 'a']))).toBe(false)
  })

  it('for JSON Schema is blind to white space only: another order of keys is another schema with another id', () => {
    expect(sameText(json('{ "a": 1, "b": "x  y" }'), json('{"a":1,"b":"x  y"}'))).toBe(true)
    expect(sameText(json('{"a":1,"b":2}'), json('{"b":2,"a":1}'))).toBe(false)
    expect(sameText(json('{"a":"x  y"}'), json('{"a":"x y"}'))).toBe(false)
  })

  it('for Protobuf is blind to space around it', () => {
    expect(sameText(proto('syntax = "proto3";\n\n'), proto('syntax = "proto3";'))).toBe(true)
    expect(sameText(proto('syntax = "proto3";'), proto('syntax = "proto2";'))).toBe(false)
  })

  it('is never the same for two types, and text that is no JSON is compared as it is', () => {
    expect(sameText(avro('"string"'), json('"string"'))).toBe(false)
    expect(sameText(avro('not json {'), avro(' not json { '))).toBe(true)
    expect(sameText(avro('{"a":'), avro('{"b":'))).toBe(false)
  })

  it('knows every JSON text again, however it is spaced', () => {
    fc.assert(
      fc.property(fc.json(), text => {
        const spaced = JSON.stringify(JSON.parse(text), null, 3)
        expect(compactJson(spaced, false)).toBe(compactJson(text, false))
      })
    )
  })
})

describe('the rest of a content', () => {
  it('has references in any order', () => {
    const a = { name: 'a.proto', subject: 'a', version: 1 }
    const b = { name: 'b.proto', subject: 'b', version: 2 }
    expect(sameReferences({ left: [a, b], right: [b, a] })).toBe(true)
    expect(sameReferences({ left: [a, b], right: [a, { ...b, version: 3 }] })).toBe(false)
    expect(sameReferences({ left: [a], right: [a, b] })).toBe(false)
  })

  it('has metadata and rules with keys in any order, and empty is not there', () => {
    const left = { properties: { owner: 'x', team: 'y' }, tags: {} }
    expect(sameValue(left, { properties: { team: 'y', owner: 'x' } })).toBe(true)
    expect(sameValue(left, undefined)).toBe(false)
    expect(sameValue({ tags: {}, sensitive: [] }, undefined)).toBe(true)
    expect(isUnset({ tags: {} })).toBe(true)
    expect(isUnset(left)).toBe(false)
  })
})
