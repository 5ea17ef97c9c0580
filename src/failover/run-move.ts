import { setTimeout as sleep } from 'node:timers/promises'
import { TwinlogError, toTwinlogError } from '../errors.js'
import { createEvidence, type Evidence } from './evidence.js'
import type { PreflightReport } from '../util/preflight-report.js'
import { writeEvidence } from './evidence-files.js'
import { driveFailover } from './failover.js'
import { planGroups } from './group-positions.js'
import { linkOf, type MoveContext } from './move-context.js'
import { MoveCoordinator } from './move-coordinator.js'
import { runPreflight } from './preflight.js'
import { configurationDigest, createScrubber, redactCluster } from './redact.js'
import { driveSwitchover } from './switchover.js'

const LAG_LOOK_MS = 500

export interface MoveRequest {
  kind: 'switchover' | 'failover'
  to: string
  dryRun: boolean
  timeoutMs: number
  maxLagRecords?: bigint | undefined
  reason?: string | undefined
  signal: AbortSignal
}

/** A move from the call to its evidence. Rejects when the service did not move; then it works on the old cluster again. */
export async function runMove(context: MoveContext, request: MoveRequest): Promise<Evidence> {
  const move = new MoveCoordinator(context, request)
  const deadline = performance.now() + request.timeoutMs
  let preflight: PreflightReport = { ok: false, checks: [] }
  // A move that its driver left behind is taken over from where it stands.
  if (context.machine.resting)
    context.machine.transition('preflight', `${request.kind} from ${move.from} to ${request.to}`)
  try {
    preflight = await move.recorder.step(
      'preflight',
      () => checkBefore(move, request, deadline),
      r => `${r.checks.length} checks`
    )
    if (request.dryRun) return await finish(move, request, preflight, 'planned')
    if (request.kind === 'failover') await driveFailover(move)
    else await driveSwitchover(move, { deadline })
    await move.recorder.step(
      'resume',
      () => context.react(),
      () => `consumers and producers work on ${move.to}`
    )
  } catch (error) {
    const failure = asMoveError(error, move)
    if (move.epoch > 0) {
      await giveUp(move, failure)
      if (context.active !== move.to)
        await finish(move, { ...request, reason: failure.message }, preflight, 'aborted').catch(() => undefined)
    }
    throw failure
  } finally {
    context.drive(undefined)
  }
  return finish(move, request, preflight, 'moved')
}

async function checkBefore(move: MoveCoordinator, request: MoveRequest, deadline: number): Promise<PreflightReport> {
  const { context } = move
  const target = linkOf(context, request.to)
  if (request.to === move.from)
    throw new TwinlogError('TWINLOG_INVALID_STATE', `${request.to} is the active cluster already`, {
      cluster: request.to
    })
  if (!target.healthy) {
    const why = target.lastError?.message ?? 'it does not answer'
    const message = `${request.kind} to ${request.to} is not possible, nothing was changed: ${why}`
    throw new TwinlogError('TWINLOG_UNREACHABLE', message, {
      cluster: request.to,
      retriable: true,
      cause: target.lastError
    })
  }
  for (;;) {
    request.signal.throwIfAborted()
    await move.survey()
    const { lagRecords, ...report } = await runPreflight(context, {
      kind: request.kind,
      to: request.to,
      topics: move.topics,
      groups: move.groups
    })
    const failed = report.checks.filter(check => check.result === 'fail')
    if (failed.length > 0 && !request.dryRun) {
      const problems = failed
        .map(check => `${check.name}: ${check.detail}${check.remedy ? ` (${check.remedy})` : ''}`)
        .join('; ')
      throw new TwinlogError(
        'TWINLOG_INVALID_STATE',
        `${request.kind} to ${request.to} is not possible, nothing was changed: ${problems}`,
        { cluster: request.to }
      )
    }
    if (request.dryRun || request.maxLagRecords === undefined || lagRecords <= request.maxLagRecords) return report
    // Producers are still sending: waiting here costs nothing, waiting after the fence would be downtime.
    if (performance.now() > deadline) {
      const message = `${request.to} lags ${lagRecords} records behind, more than maxLagRecords (${request.maxLagRecords}); nothing was changed`
      throw new TwinlogError('TWINLOG_NOT_CAUGHT_UP', message, { cluster: request.to, retriable: true })
    }
    await sleep(LAG_LOOK_MS, undefined, { signal: request.signal }).catch(() => undefined)
  }
}

/** Writes the abort unless somebody has decided already, and goes where the decision says. */
export async function giveUp(
  move: Pick<MoveCoordinator, 'epoch' | 'undecided' | 'abort' | 'decision' | 'reopen' | 'context'>,
  failure: TwinlogError
): Promise<void> {
  const { logger } = move.context.options
  // A later move that took this one's place is the place where things go on.
  if (await move.undecided()) {
    await move.abort(`${failure.code}: ${failure.message}`).catch((error: unknown) => {
      logger.error(
        { epoch: move.epoch, error: String(error) },
        'could not write the end of a move; the others end it when its lease is over'
      )
    })
  }
  // Not when it was joined after all, or nobody knows: copying into lanes that the service writes to would split them.
  if (move.decision.outcome === 'aborted') {
    await move.reopen().catch((error: unknown) => {
      logger.error(
        { epoch: move.epoch, error: String(error) },
        'the move was aborted after it had closed lanes, and they could not be opened yet: their mirror stands still until they are'
      )
    })
  }
  await move.context.react()
}

async function finish(
  move: MoveCoordinator,
  request: MoveRequest,
  preflight: PreflightReport,
  outcome: Evidence['outcome']
): Promise<Evidence> {
  const { options, local } = move.context
  const rtoMs = Math.round(move.recorder.elapsedMs)
  if (outcome === 'planned') await plan(move)
  const clusters = options.clusters.map(redactCluster)
  const { service, instanceId, evidenceDir } = options
  const evidence = createEvidence(
    {
      kind: request.kind,
      from: move.from,
      to: move.to,
      epoch: move.epoch,
      outcome,
      service,
      instanceId,
      startedAt: move.recorder.startedAt,
      finishedAt: new Date(),
      steps: move.recorder.steps,
      rtoMs,
      ledger: outcome === 'planned' ? plannedLedger(request.kind, local.topics) : move.ledger(),
      groups: move.translations,
      lanes: move.lanes,
      instances: {
        expected: move.members,
        answered: [...move.answers.keys()],
        missing: outcome === 'planned' ? [] : move.missing
      },
      preflight,
      decisions: move.recorder.decisions,
      ...(request.reason === undefined ? {} : { reason: request.reason }),
      configuration: {
        digest: configurationDigest({ clusters, service, links: options.links, fleet: options.fleet }),
        clusters
      },
      files: []
    },
    createScrubber(options.clusters)
  )
  if (evidenceDir !== undefined) await writeEvidence(evidenceDir, evidence)
  return evidence
}

/** What would be done, as far as it can be known while everything is running. */
async function plan(move: MoveCoordinator): Promise<void> {
  const { local, options } = move.context
  const { positions } = local.answer(options.instanceId)
  const translations = await move.translator.translateMany(positions).catch(() => [])
  move.translations = planGroups(positions, translations, new Date())
  move.recorder.decide(
    `would stop ${move.members.join(', ')}, close the lanes of ${move.topics.join(', ') || 'no topic'}, commit the positions of ${move.groups.join(', ') || 'no group'} on ${move.to} and work there`
  )
}

function plannedLedger(kind: string, topics: string[]): Evidence['ledger'] {
  const what =
    kind === 'failover' ? 'what a failover would lose shows when the lanes are closed' : 'a switchover loses nothing'
  return {
    lost: [],
    inDoubt: [],
    note: `A plan has no ledger: ${what}. Topics of this instance: ${topics.join(', ') || 'none'}.`
  }
}

function asMoveError(error: unknown, move: MoveCoordinator): TwinlogError {
  if (move.signal.aborted && !(error instanceof TwinlogError)) {
    const cause = move.signal.reason as unknown
    if (cause instanceof TwinlogError) return cause
    return new TwinlogError('TWINLOG_ABORTED', `the ${move.kind} to ${move.to} was cancelled`, {
      cluster: move.to,
      cause
    })
  }
  return toTwinlogError(error, 'TWINLOG_INTERNAL', `the ${move.kind} to ${move.to} failed`, { cluster: move.to })
}
