import { AssertionError } from 'node:assert'
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { apicurioAvailable, apicurioVersion, startApicurio } from '../support/registry/apicurio.js'
import { communityDeviations, type Deviation, deviatingRows } from '../support/registry/conformance/deviations.js'
import { apicurioDeviations } from '../support/registry/conformance/deviations-apicurio.js'
import { type ConformanceRow, keyOf, type RegistryUnderTest, runRow } from '../support/registry/conformance/row.js'
import { conformanceTable } from '../support/registry/conformance/table.js'
import { startFakeRegistry } from '../support/registry/fake.js'

// The one table, against the fake, against Apicurio, and against whatever SR_URL names (see test/support/README.md).

type Stoppable = RegistryUnderTest & { close?: () => Promise<void> }

const credentials = { username: 'alice', password: 's3cret' }
const apicurio = await apicurioAvailable()
const { SR_URL, SR_AUTH, SR_EDITION, SR_GLOBAL } = process.env

describe('the conformance table', () => {
  it('has at least 150 rows, each with a name of its own', () => {
    expect(conformanceTable.length).toBeGreaterThanOrEqual(150)
    expect(new Set(conformanceTable.map(keyOf)).size).toBe(conformanceTable.length)
  })

  it.each([
    ['Apicurio', apicurioDeviations],
    ['the Community edition', communityDeviations]
  ])('is what the deviations of %s are about', (_, deviations) => {
    const keys = new Set(conformanceTable.map(keyOf))
    const listed = deviations.flatMap(deviation => deviation.rows)
    expect(listed.filter(row => !keys.has(row))).toEqual([])
    expect(listed.filter((row, at) => listed.indexOf(row) < at)).toEqual([])
  })
})

describe('the fake registry', () => {
  check(conformanceTable, [], async () => {
    const registry = await startFakeRegistry({ auth: credentials, pathPrefix: '/apis/registry' })
    return { url: registry.url, auth: credentials, close: () => registry.close() }
  })
})

describe('the fake registry without rule sets', () => {
  const listed = deviatingRows(communityDeviations)
  const rows = conformanceTable.filter(row => listed.has(keyOf(row)))
  check(rows, communityDeviations, () => startFakeRegistry({ ruleSets: false }))
})

const title = `Apicurio ${apicurioVersion}${apicurio === true ? '' : ` (skipped: ${apicurio})`}`
describe.skipIf(apicurio !== true)(title, () => {
  check(conformanceTable, apicurioDeviations, () => startApicurio({ auth: credentials }))
})

if (SR_URL !== undefined && SR_URL !== '') {
  describe('the registry at SR_URL', () => {
    const [username = '', ...password] = (SR_AUTH ?? '').split(':')
    const auth = username === '' ? undefined : { username, password: password.join(':') }
    const rows = conformanceTable.filter(
      // Somebody works with it: its own config and mode are left alone unless SR_GLOBAL=1 says otherwise.
      row => (row.needs !== 'auth' || auth !== undefined) && (row.needs !== 'registry' || SR_GLOBAL === '1')
    )
    check(rows, SR_EDITION === 'community' ? communityDeviations : [], () => Promise.resolve({ url: SR_URL, auth }))
  })
}

function check(
  rows: readonly ConformanceRow[],
  deviations: readonly Deviation[],
  start: () => Promise<Stoppable>
): void {
  const listed = deviatingRows(deviations)
  // Names that no other run has: a registry may outlive a run.
  const run = `tc${randomBytes(4).toString('hex')}`
  let registry: Stoppable
  beforeAll(async () => {
    registry = await start()
  }, 180_000)
  afterAll(() => registry.close?.())

  const test = (row: ConformanceRow): (() => Promise<void>) => {
    const prefix = `${run}-${rows.indexOf(row)}`
    const because = listed.get(keyOf(row))
    return because === undefined ? () => runRow(row, registry, prefix) : () => mustFail(row, because, registry, prefix)
  }
  const name = (row: ConformanceRow): string => {
    const because = listed.get(keyOf(row))
    return because === undefined ? keyOf(row) : `${keyOf(row)} [deviates: ${because}]`
  }
  const alone = rows.filter(row => row.needs === 'registry' || row.needs === 'alone')
  describe.concurrent('row by row', () => {
    for (const row of rows) if (!alone.includes(row)) it(name(row), test(row))
  })
  if (alone.length === 0) return
  describe('rows that change the whole registry, or count on nothing else happening', () => {
    for (const row of alone) it(name(row), test(row))
  })
}

async function mustFail(
  row: ConformanceRow,
  because: string,
  registry: RegistryUnderTest,
  prefix: string
): Promise<void> {
  try {
    await runRow(row, registry, prefix)
  } catch (error) {
    if (error instanceof AssertionError) return
    throw error
  }
  throw new Error(
    `“${keyOf(row)}” holds here now, although it is listed as a deviation (${because}). Take it out of the list of deviations, and tell it in the docs.`
  )
}
