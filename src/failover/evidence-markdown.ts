import type { Evidence } from './evidence.js'
import { countOf, type LedgerRange } from './ledger.js'

/** The bundle for people: what happened, what it cost, what is not known. Offsets are those of the cluster named in the heading. */
export function evidenceMarkdown(evidence: Evidence): string {
  const { ledger, preflight, instances } = evidence
  return [
    `# ${title(evidence)}`,
    '',
    ...definitions([
      ['Service', evidence.service],
      ['Epoch', String(evidence.epoch)],
      ['Outcome', evidence.outcome],
      ['Started', evidence.startedAt.toISOString()],
      ['Finished', evidence.finishedAt.toISOString()],
      ['Driven by', evidence.instanceId],
      ['Reason', evidence.reason],
      ['RTO', evidence.outcome === 'moved' ? `${evidence.rtoMs.toFixed(0)} ms` : undefined],
      ['Lost', `${countOf(ledger.lost)} records`],
      ['In doubt', `${countOf(ledger.inDoubt)} records`],
      ['Configuration digest', `\`${evidence.configuration.digest}\``]
    ]),
    '',
    '## Steps',
    '',
    ...table(
      ['step', 'ms', 'detail'],
      evidence.steps.map(step => [step.name, step.ms.toFixed(0), step.detail])
    ),
    '',
    '## Ledger',
    '',
    ledger.note,
    '',
    `### Lost: acknowledged by ${evidence.from}, not on ${evidence.to}`,
    '',
    ...ranges(ledger.lost),
    '',
    `### In doubt: sent to ${evidence.from}, never answered`,
    '',
    ...ranges(ledger.inDoubt),
    '',
    '## Instances',
    '',
    ...definitions([
      ['Expected', instances.expected.join(', ') || 'none'],
      ['Answered', instances.answered.join(', ') || 'none'],
      ['Missing', instances.missing.join(', ') || 'none']
    ]),
    '',
    '## Consumer groups',
    '',
    ...groups(evidence),
    '',
    `## Lanes at their closing`,
    '',
    ...table(
      ['topic', 'partition', `reached on ${evidence.from}`, `end on ${evidence.to}`],
      evidence.lanes.map(lane => [lane.topic, String(lane.partition), String(lane.reached), String(lane.targetEnd)])
    ),
    '',
    '## Preflight',
    '',
    ...table(
      ['check', 'result', 'detail', 'remedy'],
      preflight.checks.map(check => [check.name, check.result, check.detail, check.remedy ?? ''])
    ),
    '',
    '## Decisions',
    '',
    ...(evidence.decisions.length > 0 ? evidence.decisions.map(decision => `- ${decision}`) : ['None.']),
    '',
    '## Clusters',
    '',
    ...table(
      ['alias', 'brokers', 'TLS', 'SASL'],
      evidence.configuration.clusters.map(({ alias, brokers, tls, saslMechanism }) => [
        alias,
        [brokers].flat().join(', '),
        tls ? 'yes' : 'no',
        saslMechanism ?? 'no'
      ])
    ),
    ''
  ].join('\n')
}

function title({ kind, from, to, outcome }: Evidence): string {
  const name = kind.charAt(0).toUpperCase() + kind.slice(1)
  const route = `${name} from ${from} to ${to}`
  if (outcome === 'planned') return `${route}: plan (dry run)`
  return outcome === 'aborted' ? `${route}: aborted` : route
}

function groups(evidence: Evidence): string[] {
  const rows = evidence.groups.flatMap(group =>
    group.partitions.map(({ source, target, applied, refused }) => [
      group.groupId,
      source.topic,
      String(source.partition),
      String(source.offset),
      'offset' in target ? `${target.offset} (${target.kind})` : target.kind,
      applied ? 'yes' : `no${refused ? `: ${refused}` : ''}`
    ])
  )
  return table(
    ['group', 'topic', 'partition', `position on ${evidence.from}`, `position on ${evidence.to}`, 'applied'],
    rows
  )
}

function ranges(list: LedgerRange[]): string[] {
  return table(
    ['topic', 'partition', 'offsets', 'count', 'instance', 'keys'],
    list.map(range => [
      range.topic,
      range.partition === undefined ? '?' : String(range.partition),
      range.from === undefined || range.to === undefined ? '?' : `${range.from} to ${range.to - 1n}`,
      String(range.count),
      range.instanceId,
      (range.keys ?? []).join(', ')
    ])
  )
}

function definitions(entries: [name: string, value: string | undefined][]): string[] {
  return entries.flatMap(([name, value]) => (value === undefined ? [] : [`- **${name}**: ${value}`]))
}

function table(head: string[], rows: string[][]): string[] {
  if (rows.length === 0) return ['None.']
  const line = (cells: string[]) => `| ${cells.map(cell).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)]
}

/** Keys and messages come from anywhere: they must not break the table, nor become markup. */
function cell(text: string): string {
  return text.replace(/[\\|<>`*_[\]]/g, '\\$&').replace(/\s+/g, ' ')
}
