import tseslint from 'typescript-eslint'

/**
 * Rooms of src/ and what each may import (docs/architecture.md). `errors.ts`, `logger.ts` and `util/` are the ground floor: every
 * room stands on them, they import from no room.
 */
const ROOMS = {
  util: [],
  kafka: ['util'],
  records: ['util'],
  lineage: ['util', 'kafka', 'records'],
  topics: ['util', 'kafka'],
  control: ['util', 'kafka', 'lineage'],
  offsets: ['util', 'kafka', 'records', 'lineage', 'control'],
  schemas: ['util'],
  mirror: ['util', 'kafka', 'records', 'lineage', 'topics', 'control', 'offsets', 'schemas'],
  failover: ['util', 'kafka', 'records', 'lineage', 'topics', 'control', 'offsets', 'schemas', 'mirror']
}

const roomRules = Object.entries(ROOMS).map(([room, allowed]) => {
  const forbidden = Object.keys(ROOMS).filter(other => other !== room && !allowed.includes(other))
  const patterns = [
    {
      group: forbidden.map(other => `**/${other}/**`),
      message: `src/${room}/ may import only from: ${allowed.join(', ') || 'nothing'} (see docs/architecture.md)`
    },
    { group: ['../index.js', '../../index.js'], message: 'index.ts is the public face; rooms do not import it' }
  ].filter(pattern => pattern.group.length > 0)
  if (room !== 'kafka') {
    patterns.push({
      group: ['kafkajs', 'kafkajs/**'],
      allowTypeImports: true,
      message: 'only src/kafka/ touches kafkajs'
    })
  }
  return {
    files: [`src/${room}/**/*.ts`],
    rules: { '@typescript-eslint/no-restricted-imports': ['error', { patterns }] }
  }
})

export default tseslint.config(
  { ignores: ['dist/', 'node_modules/', 'coverage/', '**/*.scratch.ts'] },
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ['eslint.config.js'] },
        tsconfigRootDir: import.meta.dirname
      }
    },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true, allow: [{ from: 'lib', name: 'BigInt' }] }
      ],
      '@typescript-eslint/only-throw-error': 'error',
      '@typescript-eslint/prefer-promise-reject-errors': 'off',
      'no-restricted-syntax': ['error', { selector: 'TSEnumDeclaration', message: 'use an `as const` object' }]
    }
  },
  ...roomRules,
  {
    files: ['test/**/*.ts', 'benchmarks/**/*.ts', 'examples/**/*.ts'],
    rules: { '@typescript-eslint/no-non-null-assertion': 'off', '@typescript-eslint/require-await': 'off' }
  },
  {
    // expect.objectContaining() and its like are `any`, codec tables hold functions without `this`.
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/unbound-method': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-return': 'off'
    }
  },
  { files: ['eslint.config.js'], ...tseslint.configs.disableTypeChecked }
)
