import type { ProtoEnum, ProtoField, ProtoFile, ProtoMessage, ProtoOption } from './protobuf-file.js'

/** The text under which a Protobuf schema is stored: no comments, one layout, messages before enums. */
export function writeProtobuf(file: ProtoFile): string {
  let text = file.syntax === undefined ? '' : `syntax = "${file.syntax}";\n`
  if (file.package !== '') text += `package ${file.package};\n`
  text += block(file.imports.map(path => `import ${path};\n`))
  text += block(file.options.map(option => `option ${option.name} = ${option.value};\n`))
  text += block([...file.messages.map(writeMessage), ...file.enums.map(writeEnum)])
  text += block(
    file.extends.map(({ name, fields }) => `extend ${name} {\n${indent(fields.map(writeField).join(''))}}\n`)
  )
  text += block(
    file.services.map(service => {
      const methods = service.methods.map(method => {
        const head = `rpc ${method.name} (${method.input}) returns (${method.output})`
        return method.options.length === 0
          ? `${head};\n`
          : `${head} {\n${indent(method.options.map(writeOption).join(''))}};\n`
      })
      return `service ${service.name} {\n${indent(service.options.map(writeOption).join('') + methods.join(''))}}\n`
    })
  )
  return text
}

function block(parts: string[]): string {
  return parts.length === 0 ? '' : `\n${parts.join('')}`
}

function writeMessage(message: ProtoMessage): string {
  const sections = [
    message.reserved.map(range => `reserved ${range};\n`),
    message.options.map(writeOption),
    message.fields.map(writeField),
    message.oneofs.map(({ name, fields }) => `oneof ${name} {\n${indent(fields.map(writeField).join(''))}}\n`),
    message.extensions.map(range => `extensions ${range};\n`),
    [...message.messages.map(writeMessage), ...message.enums.map(writeEnum)]
  ]
  const body = sections.filter(section => section.length > 0).map(section => section.join(''))
  return body.length === 0 ? `message ${message.name} {}\n` : `message ${message.name} {\n${indent(body.join('\n'))}}\n`
}

function writeEnum(type: ProtoEnum): string {
  const lines = [
    ...type.reserved.map(range => `reserved ${range};\n`),
    ...type.options.map(writeOption),
    ...type.values.map(value => `${value.name} = ${value.tag}${writeFieldOptions(value.options)};\n`)
  ]
  return `enum ${type.name} {\n${indent(lines.join(''))}}\n`
}

function writeOption(option: ProtoOption): string {
  return `option ${option.name} = ${option.value};\n`
}

function writeField(field: ProtoField): string {
  const label = field.label === '' ? '' : `${field.label} `
  return `${label}${field.type} ${field.name} = ${field.tag}${writeFieldOptions(field.options)};\n`
}

function writeFieldOptions(options: ProtoOption[]): string {
  if (options.length === 0) return ''
  const parts = options.map(option => `${option.name} = ${option.value}`)
  return parts.length === 1 ? ` [${parts[0] ?? ''}]` : ` [\n  ${parts.join(',\n  ')}\n]`
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '  ')
}
