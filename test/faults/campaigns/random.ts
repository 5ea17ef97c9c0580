/** Same seed, same campaign (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

export function shuffled<T>(values: readonly T[], random: () => number): T[] {
  return values
    .map(value => ({ value, place: random() }))
    .sort((x, y) => x.place - y.place)
    .map(({ value }) => value)
}
