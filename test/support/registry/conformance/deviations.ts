/** Rows that a registry is known to break, and why. A row that is listed must fail there: once it holds, the list is out of date. */
export interface Deviation {
  because: string
  rows: string[]
}

export function deviatingRows(deviations: readonly Deviation[]): Map<string, string> {
  return new Map(deviations.flatMap(({ because, rows }) => rows.map(row => [row, because] as const)))
}

/** Confluent's Community edition, and others without the rules of data contracts. */
export const communityDeviations: readonly Deviation[] = [
  {
    because: 'rule sets are dropped without a word',
    rows: [
      'config: defaultRuleSet is kept',
      'config: overrideRuleSet is kept',
      'metadata: rule sets are stored and told',
      'metadata: other rule sets are another version'
    ]
  }
]
