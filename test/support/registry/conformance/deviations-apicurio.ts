import type { Deviation } from './deviations.js'
import { missingInApicurio } from './deviations-apicurio-missing.js'

/** Apicurio Registry 3.3.3, Confluent API v7, H2 store. */
export const apicurioDeviations: readonly Deviation[] = [
  ...missingInApicurio,
  {
    because:
      'texts are stored as they come; what counts as the same is judged within a subject only, and there by meaning',
    rows: [
      'texts: Avro: blanks do not count',
      'texts: Avro: the order of keys does not count',
      'texts: Avro: a changed doc is another schema and another version',
      'texts: JSON: blanks do not count',
      'texts: JSON: with normalize the order of keys does not count',
      'texts: JSON: with normalize it is stored with sorted keys',
      'texts: JSON: a lookup with normalize finds only what was stored so',
      'texts: Protobuf: blanks and comments do not count',
      'texts: Protobuf: stored in the registry’s own layout',
      'texts: Protobuf: package, imports and options come before the messages',
      'texts: Protobuf: messages come before enums, nested types after fields',
      'references: Avro: a name that is referred to is stored by name',
      'references: Avro: with everything spelled out it is found under the version with references'
    ]
  },
  {
    because: 'other things are invalid, or invalid in another way',
    rows: [
      'transport: a control character in a subject is 42208',
      'transport: __GLOBAL is no subject: 42208',
      'register: looking up something broken is 42201',
      'register: schema types are in capitals',
      'register: a body without schema is 42201 in a new subject',
      'register: an empty schema is 42201',
      'texts: Avro: a field with a default of the wrong type passes without normalize',
      'texts: JSON: true is a schema',
      'texts: Protobuf: an unknown type is refused',
      'references: JSON: without the reference it is refused',
      'references: Protobuf: without the reference it is refused',
      'references: a reference without version is refused',
      'compatibility: something broken is 42201'
    ]
  },
  {
    because: 'a subject has one schema type for good',
    rows: [
      'register: another schema type in the subject is incompatible',
      'register: another schema type in the subject is allowed at NONE',
      'register: the same text under another schema type is another schema with a used id: 42205'
    ]
  },
  {
    because: 'a version that is no version is one that is not there',
    rows: [
      'versions: latest in any case',
      'versions: version 0 is 42202',
      'versions: version -2 is 42202',
      'versions: a version that is no number is 42202',
      'versions: a version beyond 2^31 is 42202',
      'deletes: deleting version 0 is 42202',
      'deletes: deleting a version that is no number is 42202',
      'compatibility: a version that is none is 42202'
    ]
  },
  {
    because: 'deletes: 409 instead of 404, soft-deleted versions are counted again, never replaced, and still refer',
    rows: [
      'deletes: deleting a version twice is 40406',
      'deletes: a version is deleted softly before it is deleted for good: 40407',
      'deletes: a subject is deleted softly before it is deleted for good: 40405',
      'deletes: one living version keeps the subject from being deleted for good: 40405',
      'deletes: deleting a subject leaves out versions that are deleted already',
      'deletes: the same content again takes the place of its soft-deleted version',
      'references: a soft-deleted referrer does not count'
    ]
  },
  {
    because: 'content keeps its id for ever',
    rows: ['ids: after the last use was hard-deleted the content gets a new id']
  },
  {
    because: 'a reference has a version, -1 is none',
    rows: ['references: a reference to version -1 is the latest, and stored as a number']
  },
  {
    because: 'a subject without living versions is 40401, asked with deleted=true too',
    rows: ['versions: latest of a subject with only soft-deleted versions: 40402 with deleted=true']
  },
  {
    because:
      'asked about compatibility it looks at every version at every level (registering it does not), and gives no reasons',
    rows: [
      'compatibility: BACKWARD: three versions that contradict each other',
      'compatibility: FORWARD: three versions that contradict each other',
      'compatibility: FULL: three versions that contradict each other',
      'compatibility: BACKWARD: only the newest version counts',
      'compatibility: BACKWARD: the newest one alone would do',
      'compatibility: verbose: nothing to say when it is compatible',
      'compatibility: verbose: the reasons, the old version and the level'
    ]
  },
  {
    because: 'asked about compatibility in a subject that is not there it answers 40401',
    rows: [
      'compatibility: an unknown subject is compatible with anything',
      'compatibility: a soft-deleted version is not there'
    ]
  },
  { because: 'a removed field is incompatible', rows: ['compatibility: Protobuf: a field may be removed'] },
  { because: 'there is no highest id to be asked for', rows: ['ids: fetchMaxId tells the highest id so far'] },
  {
    because: 'answers are application/json, the root is a page for people, nothing is told about the server',
    rows: [
      'transport: the root answers',
      'transport: answers are of the registry’s own type',
      'transport: the version of the server is told',
      'transport: the id of the cluster is told'
    ]
  }
]
