import type { Deviation } from './deviations.js'

/** What Apicurio Registry 3.3.3 does not have: IMPORT, modes that count, contexts, full configs, metadata, full lists. */
export const missingInApicurio: readonly Deviation[] = [
  {
    because: 'ids and versions that are asked for are ignored: it answers 200 with its own',
    rows: [
      'register: an id outside IMPORT is refused with 42205',
      'register: a version outside IMPORT must be the next one',
      'register: the next version by number is taken, and noted in the metadata',
      'import: id and version are kept',
      'import: the id resolves',
      'import: the same once more is fine, and answers with all of it',
      'import: id 0 is an id',
      'import: an id that other content has is refused',
      'import: an id that other content has in another subject is refused',
      'import: the same content and id in two subjects',
      'import: the same content can get a second id; the first one then tells only the later use',
      'import: without an id what is there is answered',
      'import: references that were imported before are found',
      'import: JSON and Protobuf',
      'import: after it, ids go on above the highest',
      'import: after it, an id is refused again',
      'import: a whole context in IMPORT',
      'import: a whole context in IMPORT: another context is not'
    ]
  },
  {
    because: 'a mode is stored and told, nothing more',
    rows: [
      'modes: READONLY: nothing can be registered',
      'modes: READONLY: no version can be deleted',
      'modes: READONLY: the subject cannot be deleted',
      'modes: READONLY: its config cannot be set',
      'modes: READONLY: its config cannot be deleted',
      'modes: a mode can be set before the subject exists',
      'modes: READONLY of the registry counts for subjects without a mode',
      'modes: IMPORT of the registry is refused while any context has a subject',
      'import: no version given is the next one',
      'import: gaps are fine',
      'import: a lower version than the newest is fine',
      'import: a version that exists is overwritten without a word',
      'import: compatibility is not asked',
      'import: without an id nothing new is taken',
      'import: versions can be deleted, softly and for good',
      'import: entering: refused where a version lives',
      'import: entering with force where a version lives: everything stays',
      'import: entering where only soft-deleted versions are deletes them for good',
      'import: a whole context in IMPORT: refused where any subject of it lives',
      'contexts: mode of a context counts for its subjects'
    ]
  },
  {
    because: 'a mode that is not set is answered with READWRITE, and stays when the subject goes',
    rows: [
      'modes: where nothing is set: 40409',
      'modes: deleting it answers with the old one',
      'modes: deleting what is not set is 40401',
      'deletes: deleting a subject deletes its mode',
      'import: soft-deleting the last version ends the subject’s IMPORT'
    ]
  },
  {
    because: 'modes have exact names, READONLY_OVERRIDE is not one of them, others are 42201',
    rows: [
      'modes: mode names in any case',
      'modes: an unknown mode is 42204',
      'modes: READONLY_OVERRIDE of the registry goes before a subject’s own mode',
      'modes: READONLY_OVERRIDE of the registry reaches other contexts'
    ]
  },
  {
    because: 'a context is only the beginning of a name: one id space, one list, no path form, no scope',
    rows: [
      'modes: READONLY of the registry does not reach other contexts',
      'contexts: the first name of the list is the default context',
      'contexts: a context exists once something is registered in it',
      'contexts: a context stays when it is emptied',
      'contexts: ids begin at 1 in each context',
      'contexts: subjects of the default context only: an empty prefix',
      'contexts: the default context can be written out',
      'contexts: an id of a context that does not exist is 40403',
      'contexts: a version asked for without a context is found in another one',
      'contexts: looking up without a context finds another one',
      'contexts: a reference without a context is one of its subject’s context',
      'contexts: config of a context counts for its subjects',
      'contexts: as a path: register and read',
      'contexts: as a path: subjects and schemas of the context',
      'contexts: as a path: ids of the context',
      'contexts: as a path: config and mode of the context',
      'contexts: as a path: a context with a colon is 400'
    ]
  },
  {
    because: 'a config is a level: a PUT without one is 500, everything else is dropped',
    rows: [
      'texts: JSON: normalize in the subject’s config counts for register and lookup',
      'config: the answer has nothing that was not set',
      'config: normalize is kept',
      'config: normalize: false is kept',
      'config: alias is kept',
      'config: compatibilityGroup is kept',
      'config: validateFields is kept',
      'config: validateRules is kept',
      'config: defaultMetadata is kept',
      'config: overrideMetadata is kept',
      'config: defaultRuleSet is kept',
      'config: overrideRuleSet is kept',
      'config: what a second PUT does not name stays',
      'config: null is: not named',
      'config: an alias leads to the other subject',
      'config: what is registered under an alias goes to the other subject',
      'config: an alias has a config of its own',
      'config: GET /schemas?aliases=true tells aliases',
      'compatibility: a compatibility group: only versions of the same group count',
      'import: defaults of the config are not filled in',
      'contexts: a subject’s config hides that of its context as a whole',
      'metadata: defaults and overrides of the config are filled in'
    ]
  },
  {
    because:
      'a config that is not set is 40401 while there is no subject, NONE afterwards; the registry’s default is NONE',
    rows: [
      'config: where nothing is set: 40408',
      'config: where nothing is set, defaultToGlobal tells the registry’s',
      'config: an unknown level is 42203',
      'config: deleting it answers with the old one',
      'config: deleting the registry’s config leaves BACKWARD',
      'deletes: deleting a subject deletes its config',
      'deletes: deleting the last version deletes the config'
    ]
  },
  { because: 'levels have exact names', rows: ['config: level names in any case, echoed as written'] },
  {
    because: 'metadata and rule sets are dropped',
    rows: [
      'metadata: it is stored and told',
      'metadata: the content by id has it',
      'metadata: GET /schemas has it',
      'metadata: registering with it answers with the whole version',
      'metadata: other metadata are another version',
      'metadata: without metadata those of the last version are taken',
      'metadata: without a schema that of the last version is taken',
      'metadata: a lookup compares them',
      'metadata: the newest version with a property',
      'metadata: version -1 writes the version into them',
      'metadata: rule sets are stored and told',
      'metadata: other rule sets are another version'
    ]
  },
  {
    because: 'entries of GET /schemas have a schema, and neither subject nor version nor id',
    rows: [
      'schemas: the list has subject, version, id and schema',
      'schemas: the list has every version, soft-deleted ones left out',
      'schemas: deleted=true lists them too',
      'schemas: latestOnly=true lists one version a subject',
      'schemas: latestOnly with deleted',
      'schemas: by pages: from an offset',
      'schemas: by pages: up to a limit',
      'schemas: by pages: both',
      'schemas: no other subject than those with the prefix',
      'contexts: GET /schemas takes the same prefixes'
    ]
  },
  {
    because: 'GET /subjects does not know subjectPrefix',
    rows: [
      'subjects: they come by a prefix',
      'subjects: a prefix that nothing begins with has none',
      'subjects: they come in the order of their names, by pages',
      'subjects: limit=0 is no limit',
      'contexts: subjects of one context: its prefix',
      'contexts: subjects of all contexts that begin alike: a wildcard'
    ]
  }
]
