import type { MirrorOptions } from '../../src/index.js'

type Transform = Extract<MirrorOptions['transform'], (...args: never[]) => unknown>

/** Values are decimal numbers; a filter keeps those that its divisor does not divide. */
const without =
  (divisor: number): Transform =>
  record =>
    Number(String(record.value)) % divisor === 0 ? null : record

/** Functions do not travel to another process; names do. */
export const namedTransforms = {
  'without-thirds': without(3),
  'without-fifths': without(5)
} satisfies Record<string, Transform>

export type TransformName = keyof typeof namedTransforms
