import type { ComparedSubject } from './compare.js'
import { configSteps, modeSteps, opens } from './plan-settings.js'
import type { SchemaStep, SubjectPlan } from './plan-types.js'
import type { PlanInput } from './planner.js'
import type { Part } from './stages.js'

/** What is to be done for one subject without a conflict, dealt out over the stages of the plan. */
export class SubjectDraft {
  readonly #compared: ComparedSubject
  readonly #input: PlanInput
  readonly #config: SchemaStep[]
  /** READONLY would refuse what follows, READWRITE allows it. */
  readonly #modeFirst: SchemaStep[]
  readonly #modeLast: SchemaStep[]
  /** Put when the deletes are done, in another stage. */
  readonly modeAfterDeletes: SchemaStep[]

  constructor(compared: ComparedSubject, input: PlanInput, hasDeletes: boolean) {
    this.#compared = compared
    this.#input = input
    this.#config = configSteps(compared.from, compared.subject, input)
    const mode = modeSteps(compared.from, compared.subject, input)
    const first = opens(compared.subject, mode, input)
    this.#modeFirst = first ? mode : []
    this.#modeLast = first || hasDeletes ? [] : mode
    this.modeAfterDeletes = !first && hasDeletes ? mode : []
  }

  /** Registrations, and with the first or last of them the settings. */
  part({ nodes, after, first, last }: Part): SubjectPlan {
    const { names, ids } = this.#input
    const { from, subject } = this.#compared
    const register = nodes.map(({ from: version, refersTo }): SchemaStep => {
      const own = ids === 'preserve' ? { id: version.id, version: version.version } : {}
      const references = names.references(from, version.references)
      return { kind: 'register', from: version, ...own, references, refersTo, thenDelete: version.deleted }
    })
    const steps = [...(first ? [...this.#modeFirst, ...this.#configBefore()] : []), ...register]
    // Deleting the last live version clears config and mode.
    if (last && this.#isEmpty && nodes.some(node => node.from.deleted)) steps.push(...this.settingsAfterEmptying())
    else if (last && first) steps.push(...(ids === 'preserve' ? this.#config : []), ...this.#modeLast)
    // Between two parts no version may have lived.
    else if (last) steps.push(...this.#modeFirst, ...this.#config, ...this.#modeLast)
    const targetHas = first ? this.#targetHas() : 'live'
    return { from, subject, steps, after: after.map(other => names.toTarget(other)), targetHas }
  }

  /** A subject that has nothing to be registered. */
  settingsAlone(): SubjectPlan | undefined {
    const steps = [...this.#modeFirst, ...this.#config, ...this.#modeLast]
    const { from, subject } = this.#compared
    return steps.length === 0 ? undefined : { from, subject, steps, after: [], targetHas: this.#targetHas() }
  }

  /** The registry clears config and mode with the last live version: what the source has nevertheless is put again. */
  settingsAfterEmptying(): SchemaStep[] {
    const { source } = this.#input.settings
    const config = source.configs.get(this.#compared.from)
    const mode = this.#input.syncMode ? source.modes.get(this.#compared.from) : undefined
    return [
      ...(config === undefined ? [] : [{ kind: 'config', config } as const]),
      ...(mode === undefined || mode === 'IMPORT' ? [] : [{ kind: 'mode', mode } as const])
    ]
  }

  /** The target's registry checks what it registers by this config, and with `preserve` it checks nothing. */
  #configBefore(): SchemaStep[] {
    return this.#input.ids === 'translate' ? this.#config : []
  }

  get #isEmpty(): boolean {
    return (this.#input.source.get(this.#compared.from) ?? []).every(({ deleted }) => deleted)
  }

  #targetHas(): SubjectPlan['targetHas'] {
    const versions = this.#input.target.get(this.#compared.subject) ?? []
    if (versions.length === 0) return 'nothing'
    return versions.some(({ deleted }) => !deleted) ? 'live' : 'deleted'
  }
}
