import { compatibilityRows } from './rows-compatibility.js'
import { configRows } from './rows-config.js'
import { contextRows } from './rows-contexts.js'
import { deleteRows } from './rows-deletes.js'
import { importRows } from './rows-import.js'
import { listRows } from './rows-lists.js'
import { metadataRows } from './rows-metadata.js'
import { modeRows } from './rows-modes.js'
import { referenceRows } from './rows-references.js'
import { registerRows } from './rows-register.js'
import { textRows } from './rows-texts.js'
import { transportRows } from './rows-transport.js'
import { idRows, versionRows } from './rows-versions.js'
import type { ConformanceRow } from './row.js'

/** What a schema registry of Confluent's API does, statement by statement. The measure is Confluent 7.9.0. */
export const conformanceTable: readonly ConformanceRow[] = [
  ...transportRows,
  ...registerRows,
  ...textRows,
  ...referenceRows,
  ...versionRows,
  ...idRows,
  ...listRows,
  ...deleteRows,
  ...configRows,
  ...compatibilityRows,
  ...metadataRows,
  ...modeRows,
  ...importRows,
  ...contextRows
]
