/**
 * JSON that comes out as it went in: `JSON.parse` puts keys that look like numbers first and rounds long numbers, and the text of a schema is
 * what its identity hangs on.
 */
export type JsonValue =
  | { kind: 'object'; entries: [string, JsonValue][] }
  | { kind: 'array'; items: JsonValue[] }
  | { kind: 'string'; value: string }
  | { kind: 'number'; text: string }
  | { kind: 'boolean'; value: boolean }
  | { kind: 'null' }

const numberPattern = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
// A string without control characters, escapes checked by JSON.parse below.
const stringPattern = /"(?:[^"\\\u0000-\u001f]|\\.)*"/y
const blankPattern = /[ \t\r\n]*/y

export class JsonTextError extends Error {}

export function readJson(text: string): JsonValue {
  const reader = new Reader(text)
  const value = reader.value()
  reader.end()
  return value
}

export function writeJson(value: JsonValue, o: { sortKeys?: boolean } = {}): string {
  switch (value.kind) {
    case 'object': {
      const entries = o.sortKeys === true ? [...value.entries].sort(([a], [b]) => (a < b ? -1 : 1)) : value.entries
      return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${writeJson(item, o)}`).join(',')}}`
    }
    case 'array':
      return `[${value.items.map(item => writeJson(item, o)).join(',')}]`
    case 'string':
      return JSON.stringify(value.value)
    case 'number':
      return value.text
    case 'boolean':
      return String(value.value)
    case 'null':
      return 'null'
  }
}

export function member(value: JsonValue, key: string): JsonValue | undefined {
  if (value.kind !== 'object') return undefined
  return value.entries.find(([name]) => name === key)?.[1]
}

export function textOf(value: JsonValue | undefined): string | undefined {
  return value?.kind === 'string' ? value.value : undefined
}

class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  value(): JsonValue {
    this.#match(blankPattern)
    switch (this.#text[this.#at]) {
      case '{':
        return this.#object()
      case '[':
        return this.#array()
      case '"':
        return { kind: 'string', value: this.#string() }
      case 't':
        return this.#word('true', { kind: 'boolean', value: true })
      case 'f':
        return this.#word('false', { kind: 'boolean', value: false })
      case 'n':
        return this.#word('null', { kind: 'null' })
      default: {
        const text = this.#match(numberPattern)
        if (text === undefined || text === '') throw this.#unexpected()
        return { kind: 'number', text }
      }
    }
  }

  end(): void {
    this.#match(blankPattern)
    if (this.#at < this.#text.length) throw this.#unexpected()
  }

  #object(): JsonValue {
    const entries = new Map<string, JsonValue>()
    this.#list('}', () => {
      this.#match(blankPattern)
      const key = this.#string()
      this.#match(blankPattern)
      if (this.#text[this.#at] !== ':') throw this.#unexpected()
      this.#at += 1
      entries.set(key, this.value())
    })
    return { kind: 'object', entries: [...entries] }
  }

  #array(): JsonValue {
    const items: JsonValue[] = []
    this.#list(']', () => items.push(this.value()))
    return { kind: 'array', items }
  }

  #list(close: string, element: () => void): void {
    this.#at += 1
    this.#match(blankPattern)
    if (this.#text[this.#at] === close) {
      this.#at += 1
      return
    }
    for (;;) {
      element()
      this.#match(blankPattern)
      const mark = this.#text[this.#at]
      if (mark !== ',' && mark !== close) throw this.#unexpected()
      this.#at += 1
      if (mark === close) return
    }
  }

  #string(): string {
    const text = this.#match(stringPattern)
    if (text === undefined) throw this.#unexpected()
    return JSON.parse(text) as string
  }

  #word(word: string, value: JsonValue): JsonValue {
    if (!this.#text.startsWith(word, this.#at)) throw this.#unexpected()
    this.#at += word.length
    return value
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    if (found !== undefined) this.#at += found.length
    return found
  }

  #unexpected(): JsonTextError {
    const found = this.#text[this.#at]
    return new JsonTextError(
      found === undefined
        ? 'Unexpected end-of-input'
        : `Unexpected character ('${found}') at line: 1, column: ${this.#at + 1}`
    )
  }
}
