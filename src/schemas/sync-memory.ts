import { versionKey } from './names.js'
import { stages } from './plan.js'
import type { ApplyResult, SchemaPlan, SubjectPlan } from './plan-types.js'
import type { RegistryLevelConfig, SchemaVersion } from './registry-types.js'

/** What one run learns for the next ones. All of it can be lost: then a few requests are made once more. */
export class SyncMemory {
  /** Subjects of the target by the source's that they were copied from. */
  readonly formerly = new Map<string, string>()
  /** Config fields that the target takes and does not keep. */
  readonly droppedConfig = new Set<string>()
  /** Version of the source and subject of the target → the id that the target gave. */
  readonly #settled = new Map<string, number>()
  readonly #put = new Map<string | undefined, RegistryLevelConfig>()
  readonly #keptFields = new Set<string>()

  settled(from: SchemaVersion, subject: string): number | undefined {
    return this.#settled.get(settledKey(from, subject))
  }

  remember(plan: SchemaPlan, result: Pick<ApplyResult, 'registered' | 'outcomes'>): void {
    for (const { subject, from, id } of result.registered) this.#settled.set(settledKey(from, subject), id)
    const failed = new Set(result.outcomes.flatMap(({ subject, conflict }) => (conflict ? [subject] : [])))
    for (const { subject, from, steps } of plan.subjects) {
      if (from !== undefined) this.formerly.set(subject, from)
      if (!failed.has(subject)) this.#putConfig(subject, steps)
    }
    for (const { scope, steps } of plan.levels) this.#putConfig(scope, steps)
  }

  /** Compares what was put with what is there now. Answers fields that are seen to be dropped for the first time. */
  checkConfigs(configs: ReadonlyMap<string | undefined, RegistryLevelConfig | undefined>): string[] {
    for (const config of configs.values()) {
      for (const field of Object.keys(config ?? {})) {
        this.#keptFields.add(field)
        this.droppedConfig.delete(field)
      }
    }
    const news: string[] = []
    for (const [scope, put] of this.#put) {
      if (!configs.has(scope)) continue
      this.#put.delete(scope)
      const now = configs.get(scope)
      // A config that is gone altogether was removed, or went with the last live version.
      if (now === undefined) continue
      for (const field of Object.keys(put)) {
        if (field in now || this.#keptFields.has(field) || this.droppedConfig.has(field)) continue
        this.droppedConfig.add(field)
        news.push(field)
      }
    }
    return news
  }

  #putConfig(scope: string | undefined, steps: SubjectPlan['steps']): void {
    for (const step of steps) if (step.kind === 'config' && step.config !== undefined) this.#put.set(scope, step.config)
  }
}

/** Every subject that a plan writes to, in all its stages. */
export function touched(plan: SchemaPlan): Set<string> {
  return new Set(stages(plan).flatMap(({ subjects }) => subjects.map(({ subject }) => subject)))
}

function settledKey(from: SchemaVersion, subject: string): string {
  return JSON.stringify([versionKey(from.subject, from.version), from.id, subject])
}
