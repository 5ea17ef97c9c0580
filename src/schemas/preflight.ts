import { InvalidOptionError, toTwinlogError } from '../errors.js'
import type { PreflightReport } from '../util/preflight-report.js'
import { NOTE_PREFIX } from './import-note.js'
import { count, stages } from './plan.js'
import type { PlanMaker, Prepared } from './plan-maker.js'
import type { RegistryClient, RegistryMode } from './registry-types.js'

interface PreflightOptions {
  maker: PlanMaker
  source: RegistryClient
  target: RegistryClient
  ids: 'preserve' | 'translate'
  signal?: AbortSignal | undefined
}

type Check = PreflightReport['checks'][number]

/** So many conflicts are named. */
const NAMED = 5

/** Whether a sync would work, and what it would meet. Nothing is changed. */
export async function preflight(o: PreflightOptions): Promise<PreflightReport> {
  const checks = [await reach('source registry', o.source, o), await reach('target registry', o.target, o)]
  if (checks.every(({ result }) => result !== 'fail')) {
    const { target: contexts } = await o.maker.contexts(o)
    const mode = await modeOf(o.target, o)
    checks.push(targetMode(mode, o), importMode(contexts, mode, o))
    if (contexts !== undefined) checks.push(await notes(o))
    checks.push(...(await planChecks(o)))
  }
  return { ok: checks.every(({ result }) => result !== 'fail'), checks }
}

async function reach(name: string, client: RegistryClient, { signal }: PreflightOptions): Promise<Check> {
  try {
    const subjects = await client.subjects({ signal })
    return { name, result: 'pass', detail: `${client.name} answers, ${count(subjects.length, 'subject')}` }
  } catch (thrown) {
    const error = toTwinlogError(thrown, 'TWINLOG_SCHEMA_REGISTRY', `${client.name} cannot be read`)
    if (error.code === 'TWINLOG_ABORTED') throw error
    const remedy =
      error.code === 'TWINLOG_UNAUTHORIZED'
        ? 'check auth and headers, and that the principal may read subjects'
        : 'check url, network and certificates'
    return { name, result: 'fail', detail: error.message, remedy }
  }
}

async function modeOf(target: RegistryClient, { signal }: PreflightOptions): Promise<RegistryMode | undefined> {
  try {
    return await target.mode(undefined, { signal })
  } catch (error) {
    if (toTwinlogError(error, 'TWINLOG_INTERNAL', '').code === 'TWINLOG_UNSUPPORTED') return undefined
    throw error
  }
}

function targetMode(mode: RegistryMode | undefined, { ids }: PreflightOptions): Check {
  const name = 'mode of the target'
  if (mode === undefined) return { name, result: 'pass', detail: 'the registry has no modes' }
  if (mode === 'READWRITE') return { name, result: 'pass', detail: mode }
  if (mode === 'READONLY_OVERRIDE') {
    const remedy = 'put the target into another mode (PUT /mode)'
    return { name, result: 'fail', detail: `${mode}: it accepts nothing, and no IMPORT mode overrides that`, remedy }
  }
  if (ids === 'preserve') return { name, result: 'pass', detail: `${mode}; schemas are registered in IMPORT mode` }
  const detail = `${mode}: it accepts no registrations without ids`
  return { name, result: 'warn', detail, remedy: "put the target into READWRITE (PUT /mode), or use ids: 'preserve'" }
}

function importMode(contexts: string[] | undefined, mode: RegistryMode | undefined, { ids }: PreflightOptions): Check {
  const name = 'IMPORT mode'
  if (ids === 'translate') return { name, result: 'pass', detail: "not needed with ids: 'translate'" }
  if (contexts !== undefined) {
    const detail =
      'the registry has contexts and modes, as Confluent’s; whether it allows modes to be changed (mode.mutability) shows when it is tried'
    return { name, result: 'pass', detail }
  }
  if (mode === 'IMPORT') {
    const detail = 'the registry is in IMPORT mode; whether it keeps ids shows with the first schema'
    return { name, result: 'warn', detail }
  }
  const detail = 'the registry has no contexts, so there is no place for the note that ends IMPORT mode after a crash'
  return { name, result: 'fail', detail, remedy: "use ids: 'translate', or put the target into IMPORT mode yourself" }
}

async function notes({ target, signal }: PreflightOptions): Promise<Check> {
  const name = 'notes of a run that did not end'
  const left = (await target.subjects({ prefix: NOTE_PREFIX, signal })).filter(subject =>
    subject.startsWith(NOTE_PREFIX)
  )
  if (left.length === 0) return { name, result: 'pass', detail: 'none' }
  const detail = `${count(left.length, 'note')}: a run has crashed, or another SchemaSync is at work; scopes may be in IMPORT mode`
  return { name, result: 'warn', detail, remedy: 'syncOnce() or start() puts back what a crash left' }
}

async function planChecks(o: PreflightOptions): Promise<Check[]> {
  let prepared: Prepared
  try {
    prepared = await o.maker.prepare({ signal: o.signal })
  } catch (error) {
    if (error instanceof InvalidOptionError)
      return [
        {
          name: 'names',
          result: 'fail',
          detail: error.message,
          remedy: 'let rename give different subjects different names'
        }
      ]
    throw error
  } finally {
    o.maker.endRun()
  }
  const { plan } = prepared
  const lists = o.maker.source.lists === true
  const detail = `${count(plan.changes, 'change')} in ${count(stages(plan).flatMap(({ subjects }) => subjects).length, 'subject')}, ${count(plan.compared, 'subject')} compared`
  const reading: Check = {
    name: 'reading the source',
    result: 'pass',
    detail: lists ? 'by lists of all versions' : 'subject by subject: the registry lists no versions with their ids'
  }
  return [reading, { name: 'plan', result: 'pass', detail }, conflictCheck(prepared)]
}

function conflictCheck({ plan: { conflicts } }: Prepared): Check {
  const name = 'conflicts'
  if (conflicts.length === 0) return { name, result: 'pass', detail: 'none' }
  const words = conflicts.slice(0, NAMED).map(({ message }) => message)
  const more = conflicts.length > NAMED ? ` … and ${conflicts.length - NAMED} more` : ''
  const remedy = 'each message says what can be done; everything else is copied meanwhile'
  return { name, result: 'warn', detail: `${conflicts.length}: ${words.join(' | ')}${more}`, remedy }
}
