import type { ProtoEnum, ProtoField, ProtoFile, ProtoMessage, ProtoMethod, ProtoOption } from './protobuf-file.js'

export class ProtobufError extends Error {}

const tokenPattern =
  /\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/|("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[\w.+-]+|[{}()[\]<>=;,:])/y
const labels = new Set(['optional', 'required', 'repeated'])

export function readProtobuf(text: string): ProtoFile {
  return new Reader(tokensOf(text)).file()
}

function tokensOf(text: string): string[] {
  const tokens: string[] = []
  tokenPattern.lastIndex = 0
  while (tokenPattern.lastIndex < text.length) {
    const at = tokenPattern.lastIndex
    const found = tokenPattern.exec(text)
    if (found === null) throw new ProtobufError(`Syntax error at ${at}: unexpected '${text[at] ?? ''}'`)
    if (found[1] !== undefined) tokens.push(found[1])
  }
  return tokens
}

class Reader {
  readonly #tokens: string[]
  #at = 0

  constructor(tokens: string[]) {
    this.#tokens = tokens
  }

  file(): ProtoFile {
    const file: ProtoFile = {
      syntax: undefined,
      package: '',
      imports: [],
      options: [],
      messages: [],
      enums: [],
      extends: [],
      services: []
    }
    while (this.#peek() !== undefined) this.#declaration(file)
    const names = [...file.messages, ...file.enums].map(type => type.name)
    const twice = names.find((name, at) => names.indexOf(name) < at)
    if (twice !== undefined) throw new ProtobufError(`${twice} is already defined`)
    return file
  }

  #declaration(file: ProtoFile): void {
    const word = this.#word()
    switch (word) {
      case 'syntax': {
        this.#expect('=')
        file.syntax = unquote(this.#next())
        if (file.syntax !== 'proto2' && file.syntax !== 'proto3') {
          throw new ProtobufError(`unexpected syntax: ${file.syntax}`)
        }
        this.#expect(';')
        return
      }
      case 'package':
        file.package = this.#word()
        this.#expect(';')
        return
      case 'import': {
        const next = this.#next()
        const path = next === 'public' || next === 'weak' ? `${next} ${this.#next()}` : next
        file.imports.push(path.replaceAll("'", '"'))
        this.#expect(';')
        return
      }
      case 'option':
        file.options.push(this.#option())
        return
      case 'message':
        file.messages.push(this.#message())
        return
      case 'enum':
        file.enums.push(this.#enum())
        return
      case 'extend': {
        const name = this.#word()
        this.#expect('{')
        const fields: ProtoField[] = []
        while (!this.#skip('}')) fields.push(this.#field(this.#word()))
        file.extends.push({ name, fields })
        return
      }
      case 'service':
        file.services.push(this.#service())
        return
      default:
        throw new ProtobufError(`Syntax error: unexpected label: ${word}`)
    }
  }

  #message(): ProtoMessage {
    const name = this.#word()
    const message: ProtoMessage = {
      name,
      reserved: [],
      options: [],
      fields: [],
      oneofs: [],
      extensions: [],
      messages: [],
      enums: []
    }
    this.#expect('{')
    while (!this.#skip('}')) {
      const word = this.#word()
      if (word === 'message') message.messages.push(this.#message())
      else if (word === 'enum') message.enums.push(this.#enum())
      else if (word === 'option') message.options.push(this.#option())
      else if (word === 'reserved') message.reserved.push(this.#ranges())
      else if (word === 'extensions') message.extensions.push(this.#ranges())
      else if (word === 'oneof') {
        const oneof = { name: this.#word(), fields: [] as ProtoField[] }
        this.#expect('{')
        while (!this.#skip('}')) oneof.fields.push(this.#field(this.#word()))
        message.oneofs.push(oneof)
      } else message.fields.push(this.#field(word))
    }
    return message
  }

  #enum(): ProtoEnum {
    const result: ProtoEnum = { name: this.#word(), reserved: [], options: [], values: [] }
    this.#expect('{')
    while (!this.#skip('}')) {
      const word = this.#word()
      if (word === 'option') result.options.push(this.#option())
      else if (word === 'reserved') result.reserved.push(this.#ranges())
      else {
        this.#expect('=')
        const tag = this.#word()
        result.values.push({ name: word, tag, options: this.#fieldOptions() })
        this.#expect(';')
      }
    }
    return result
  }

  #service(): ProtoFile['services'][number] {
    const service: ProtoFile['services'][number] = { name: this.#word(), options: [], methods: [] }
    this.#expect('{')
    while (!this.#skip('}')) {
      const word = this.#word()
      if (word === 'option') {
        service.options.push(this.#option())
        continue
      }
      const method: ProtoMethod = { name: this.#word(), input: this.#messageType(), output: '', options: [] }
      if (this.#word() !== 'returns') throw new ProtobufError("Syntax error: expected 'returns'")
      method.output = this.#messageType()
      if (this.#skip('{')) {
        while (!this.#skip('}')) {
          this.#word()
          method.options.push(this.#option())
        }
        this.#skip(';')
      } else this.#expect(';')
      service.methods.push(method)
    }
    return service
  }

  #messageType(): string {
    this.#expect('(')
    const first = this.#word()
    const type = first === 'stream' && this.#peek() !== ')' ? `stream ${this.#word()}` : first
    this.#expect(')')
    return type
  }

  #field(first: string): ProtoField {
    const label = labels.has(first) ? first : ''
    let type = label === '' ? first : this.#word()
    if (type === 'map' && this.#skip('<')) {
      const key = this.#word()
      this.#expect(',')
      type = `map<${key}, ${this.#word()}>`
      this.#expect('>')
    }
    const name = this.#word()
    this.#expect('=')
    const tag = Number(this.#word())
    if (!Number.isInteger(tag)) throw new ProtobufError(`Syntax error: expected an integer for ${name}`)
    const options = this.#fieldOptions()
    this.#expect(';')
    return { label, type, name, tag, options }
  }

  #fieldOptions(): ProtoOption[] {
    const options: ProtoOption[] = []
    if (!this.#skip('[')) return options
    do options.push({ name: this.#optionName(), value: this.#value() })
    while (this.#skip(','))
    this.#expect(']')
    return options
  }

  /** What follows the word `option`. */
  #option(): ProtoOption {
    const option = { name: this.#optionName(), value: this.#value() }
    this.#expect(';')
    return option
  }

  #optionName(): string {
    let name = ''
    while (this.#peek() !== '=') name += this.#next()
    this.#expect('=')
    return name
  }

  #value(): string {
    if (this.#peek() !== '{') return this.#next()
    const parts: string[] = []
    let depth = 0
    do {
      const token = this.#next()
      if (token === '{') depth += 1
      if (token === '}') depth -= 1
      parts.push(token)
    } while (depth > 0)
    return parts.join(' ')
  }

  #ranges(): string {
    let text = ''
    for (let token = this.#next(); token !== ';'; token = this.#next()) {
      text += token === ',' ? ', ' : token === 'to' ? ' to ' : token.replaceAll("'", '"')
    }
    return text
  }

  #peek(): string | undefined {
    return this.#tokens[this.#at]
  }

  #next(): string {
    const token = this.#tokens[this.#at]
    if (token === undefined) throw new ProtobufError('Syntax error: unexpected end of file')
    this.#at += 1
    return token
  }

  #word(): string {
    const token = this.#next()
    if (!/^[\w.+-]+$/.test(token)) throw new ProtobufError(`Syntax error: expected a word, found ${token}`)
    return token
  }

  #skip(token: string): boolean {
    if (this.#peek() !== token) return false
    this.#at += 1
    return true
  }

  #expect(token: string): void {
    const found = this.#next()
    if (found !== token) throw new ProtobufError(`Syntax error: expected '${token}', found ${found}`)
  }
}

function unquote(text: string): string {
  return text.slice(1, -1)
}
