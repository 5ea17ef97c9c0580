import { describe, expect, it } from 'vitest'
import { createEvidence, type EvidenceFields } from '../../../src/failover/evidence.js'
import { evidenceMarkdown } from '../../../src/failover/evidence-markdown.js'
import { configurationDigest, createScrubber, redactCluster } from '../../../src/failover/redact.js'
import { GroupTranslationReport } from '../../../src/offsets/translation.js'
import type { ClusterConfig } from '../../../src/kafka/types.js'

const PEM =
  '-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\nAASCBKcwggSjAgEAAoIBAQC7abcd\n-----END PRIVATE KEY-----\n'
const east: ClusterConfig = {
  alias: 'east',
  brokers: ['a:9092'],
  clientId: 'orders',
  ssl: { key: PEM, cert: 'certificate-text', passphrase: 'key-passphrase' },
  sasl: { mechanism: 'plain', username: 'service-user', password: 'hunter2-password' },
  schemaRegistry: {
    url: 'http://reg-user:reg%40pass@registry:8081/apis?token=query-token',
    auth: { token: 'bearer-token-value' },
    headers: { 'x-api-key': 'header-secret' }
  }
}
const west: ClusterConfig = { alias: 'west', brokers: () => ['b:9092'] }
const secrets = [
  PEM,
  'MIIEvQIBADANBgkqhkiG9w0BAQEF',
  'key-passphrase',
  'hunter2-password',
  'reg%40pass',
  'reg@pass',
  'reg-user',
  'query-token',
  'bearer-token-value',
  'header-secret'
]

const fields = (over: Partial<EvidenceFields> = {}): EvidenceFields => ({
  kind: 'failover',
  from: 'east',
  to: 'west',
  epoch: 2,
  outcome: 'moved',
  service: 'orders',
  instanceId: 'a',
  startedAt: new Date(0),
  finishedAt: new Date(1500),
  steps: [{ name: 'close lanes', ms: 12.4, detail: '3 lanes' }],
  rtoMs: 1500,
  ledger: {
    lost: [{ topic: 't', partition: 0, from: 5n, to: 9n, count: 4, instanceId: 'a' }],
    inDoubt: [{ topic: 't', count: 1, instanceId: 'a', keys: ['k|1'] }],
    note: 'A note.'
  },
  groups: [
    new GroupTranslationReport(
      'g',
      [
        {
          source: { topic: 't', partition: 0, offset: 7n },
          target: { kind: 'exact', topic: 't', partition: 0, offset: 6n },
          applied: true
        },
        {
          source: { topic: 't', partition: 1, offset: 7n },
          target: { kind: 'unknown', reason: 'partition' },
          applied: false,
          refused: 'unknown'
        }
      ],
      new Date(0)
    )
  ],
  lanes: [{ topic: 't', partition: 0, targetTopic: 't', targetPartition: 0, targetEnd: 4n, reached: 2n ** 60n }],
  instances: { expected: ['a', 'b'], answered: ['a'], missing: ['b'] },
  preflight: { ok: true, checks: [{ name: 'target', result: 'pass', detail: 'answers' }] },
  decisions: ['went on without b'],
  configuration: { digest: 'd', clusters: [redactCluster(east), redactCluster(west)] },
  files: [],
  ...over
})

describe('evidence', () => {
  it('becomes JSON with offsets as decimal strings and dates as ISO 8601', () => {
    const json: unknown = JSON.parse(JSON.stringify(createEvidence(fields(), text => text)))
    expect(json).toMatchObject({
      startedAt: '1970-01-01T00:00:00.000Z',
      lanes: [{ reached: '1152921504606846976' }],
      ledger: { lost: [{ topic: 't', partition: 0, from: '5', to: '9', count: 4, instanceId: 'a' }] },
      groups: [{ groupId: 'g', partitions: [{ target: { offset: '6' } }, { refused: 'unknown' }] }]
    })
    expect(json).not.toHaveProperty('toJSON')
  })

  it('keeps bigints and dates for code', () => {
    const evidence = createEvidence(fields(), text => text)
    expect(evidence.ledger.lost[0]?.from).toBe(5n)
    expect(evidence.startedAt).toEqual(new Date(0))
  })

  it('shows no secret of the configuration, not even one that an error message quoted', () => {
    const scrub = createScrubber([east, west])
    const leaking = `authentication of service-user with hunter2-password failed; ${secrets.join(' ')} ${JSON.stringify(PEM)}`
    const evidence = createEvidence(fields({ steps: [{ name: 'x', ms: 1, detail: leaking }], reason: leaking }), scrub)
    for (const text of [JSON.stringify(evidence), evidenceMarkdown(evidence)]) {
      for (const secret of secrets) expect(text).not.toContain(secret)
      expect(text).toContain('a:9092')
    }
  })

  it('stands objects of others in the configuration, which may hold each other', () => {
    const dispatcher: { pool: object; token: string } = { pool: {}, token: 'proxy-token-value' }
    Object.assign(dispatcher.pool, { owner: dispatcher })
    const scrub = createScrubber([{ ...east, schemaRegistry: { url: 'http://registry:8081', dispatcher } }])
    expect(scrub('proxy-token-value of service-user')).toBe('*** of service-user')
  })

  it('gives equal configurations equal digests, and tells different ones apart', () => {
    const digest = (config: ClusterConfig) => configurationDigest([redactCluster(config)])
    expect(digest(east)).toBe(digest({ ...east }))
    expect(digest(east)).toMatch(/^[0-9a-f]{64}$/)
    expect(digest(east)).not.toBe(digest({ ...east, brokers: ['c:9092'] }))
  })
})

describe('evidence as Markdown', () => {
  it('names outcome, cost, offsets and what was decided', () => {
    const text = evidenceMarkdown(createEvidence(fields(), t => t))
    expect(text).toContain('# Failover from east to west\n')
    expect(text).toContain('- **Lost**: 4 records')
    expect(text).toContain('- **RTO**: 1500 ms')
    expect(text).toContain('| t | 0 | 5 to 8 | 4 | a |')
    expect(text).toContain('| g | t | 0 | 7 | 6 (exact) | yes |')
    expect(text).toContain('no: unknown')
    expect(text).toContain('- went on without b')
    expect(text).toContain('- **Missing**: b')
  })

  it('does not let a key break its table', () => {
    expect(evidenceMarkdown(createEvidence(fields(), t => t))).toContain('| k\\|1 |')
  })

  it('calls a plan a plan and claims no recovery time for it', () => {
    const text = evidenceMarkdown(createEvidence(fields({ outcome: 'planned' }), t => t))
    expect(text).toContain('plan (dry run)')
    expect(text).not.toContain('**RTO**')
  })
})
