import { scopeOf, splitSubject } from './names.js'
import type { SchemaStep } from './plan-types.js'
import type { PlanInput } from './planner.js'
import type { RegistryLevelConfig, RegistryMode } from './registry-types.js'
import { isUnset, sameValue } from './same-content.js'

/** A context as a whole, or (undefined) the registry itself. */
export function isLevel(scope: string | undefined): boolean {
  return scope === undefined || /^:\.[^:]*:$/.test(scope)
}

export function configSteps(from: string | undefined, scope: string | undefined, input: PlanInput): SchemaStep[] {
  const { source, target } = input.settings
  if (!source.configs.has(from)) return []
  const want = source.configs.get(from)
  const have = target.configs.get(scope)
  if (!configDiffers(want, have, input.droppedConfig)) return []
  // The registry itself always has a level.
  if (want === undefined) return scope === undefined ? [] : [{ kind: 'config', config: undefined }]
  const put: SchemaStep = { kind: 'config', config: want }
  // A PUT leaves what it does not name.
  const stale = Object.entries(have ?? {}).some(([field, value]) => !isUnset(value) && !(field in want))
  return stale && scope !== undefined ? [{ kind: 'config', config: undefined }, put] : [put]
}

export function configDiffers(
  want: RegistryLevelConfig | undefined,
  have: RegistryLevelConfig | undefined,
  dropped: ReadonlySet<string>
): boolean {
  const kept = (config: RegistryLevelConfig | undefined) =>
    config && Object.fromEntries(Object.entries(config).filter(([field]) => !dropped.has(field)))
  return !sameValue(kept(want), kept(have))
}

export function modeSteps(from: string | undefined, scope: string | undefined, input: PlanInput): SchemaStep[] {
  const { source, target } = input.settings
  if (!input.syncMode || !source.modes.has(from)) return []
  const want = source.modes.get(from)
  const have = target.modes.get(scope)
  if (!modeDiffers(want, have) || (want === undefined && scope === undefined)) return []
  return [{ kind: 'mode', mode: want }]
}

/** The mode that is put allows what the present one may refuse. */
export function opens(subject: string, steps: readonly SchemaStep[], input: PlanInput): boolean {
  const [step] = steps
  if (step?.kind !== 'mode') return false
  if (input.settings.target.effectiveModes.get(undefined) === 'READONLY_OVERRIDE') return false
  return step.mode === 'READWRITE' || (step.mode === undefined && inheritedMode(subject, input) === 'READWRITE')
}

export function effectiveMode(subject: string, input: PlanInput): RegistryMode {
  return input.settings.target.effectiveModes.get(subject) ?? inheritedMode(subject, input)
}

function inheritedMode(subject: string, { settings }: PlanInput): RegistryMode {
  return settings.target.effectiveModes.get(scopeOf(splitSubject(subject).context)) ?? 'READWRITE'
}

/** IMPORT is the state of a registry that is being filled: it is never copied, and an operator's is never ended. */
export function modeDiffers(want: RegistryMode | undefined, have: RegistryMode | undefined): boolean {
  return want !== have && want !== 'IMPORT' && have !== 'IMPORT'
}

/** What belongs to the registry and to contexts; it was read only when everything is copied. */
export function levelSteps(input: PlanInput): { scope: string | undefined; steps: SchemaStep[] }[] {
  const { source } = input.settings
  const levels = new Set([...source.configs.keys(), ...source.modes.keys()].filter(isLevel))
  return [...levels].flatMap(from => {
    const context = input.names.contextToTarget(from === undefined ? '.' : splitSubject(from).context)
    if (context === undefined) return []
    const scope = scopeOf(context)
    const steps = [...configSteps(from, scope, input), ...modeSteps(from, scope, input)]
    return steps.length === 0 ? [] : [{ scope, steps }]
  })
}
