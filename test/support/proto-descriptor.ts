/**
 * A .proto text as a serialized FileDescriptorProto in base64: what Confluent answers to `format=serialized`, and what its JavaScript client
 * needs. Apicurio and the fake answer with the text. Knows what the tests need: messages in messages with string and int32 fields.
 */
export function serializedDescriptor(text: string): string {
  // Names of files and types meet in one registry of the client: each text is a file of its own.
  const name = `${Buffer.from(text).toString('base64url').slice(-24)}.proto`
  const tokens = text.replace(/\/\/.*|\/\*[^]*?\*\//g, ' ').match(/"[^"]*"|[\w.]+|[{}=;]/g) ?? []
  const parser = new Parser(tokens)
  const { packageName, messages } = parser.file()
  const file = [
    stringField(1, name),
    stringField(2, packageName),
    ...messages.map(m => bytesField(4, m)),
    stringField(12, 'proto3')
  ]
  return Buffer.concat(file).toString('base64')
}

const TYPES: Readonly<Record<string, number>> = { string: 9, int32: 5 }
const OPTIONAL = 1

class Parser {
  readonly #tokens: string[]

  constructor(tokens: string[]) {
    this.#tokens = [...tokens]
  }

  file(): { packageName: string; messages: Buffer[] } {
    let packageName = ''
    const messages: Buffer[] = []
    while (this.#tokens.length > 0) {
      const word = this.#next()
      if (word === 'message') messages.push(this.#message())
      else if (word === 'package') packageName = this.#statement()[0] ?? ''
      else this.#statement()
    }
    return { packageName, messages }
  }

  #message(): Buffer {
    const parts = [stringField(1, this.#next())]
    this.#expect('{')
    for (let word = this.#next(); word !== '}'; word = this.#next()) {
      if (word === 'message') {
        parts.push(bytesField(3, this.#message()))
        continue
      }
      const [name = '', , number = ''] = this.#statement()
      const type = TYPES[word]
      if (type === undefined) throw new Error(`proto-descriptor: fields of type ${word} are not known`)
      const field = [
        stringField(1, name),
        numberField(3, Number(number)),
        numberField(4, OPTIONAL),
        numberField(5, type)
      ]
      parts.push(bytesField(2, Buffer.concat(field)))
    }
    return Buffer.concat(parts)
  }

  #statement(): string[] {
    const end = this.#tokens.indexOf(';')
    const words = this.#tokens.splice(0, end + 1)
    return words.slice(0, -1)
  }

  #next(): string {
    const token = this.#tokens.shift()
    if (token === undefined) throw new Error('proto-descriptor: the text ends in the middle')
    return token
  }

  #expect(token: string): void {
    const found = this.#next()
    if (found !== token) throw new Error(`proto-descriptor: ${token} was expected, not ${found}`)
  }
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return Buffer.from([...bytes, rest])
}

function numberField(field: number, value: number): Buffer {
  return Buffer.concat([varint(field << 3), varint(value)])
}

function bytesField(field: number, value: Buffer): Buffer {
  return Buffer.concat([varint((field << 3) | 2), varint(value.length), value])
}

function stringField(field: number, value: string): Buffer {
  return bytesField(field, Buffer.from(value))
}
