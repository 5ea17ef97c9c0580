export interface ProtoOption {
  name: string
  /** As written: a constant, a string with its quotes, or `{ ... }`. */
  value: string
}

export interface ProtoField {
  label: string
  /** `map<k, v>` as one word. */
  type: string
  name: string
  tag: number
  options: ProtoOption[]
}

export interface ProtoMessage {
  name: string
  reserved: string[]
  options: ProtoOption[]
  fields: ProtoField[]
  oneofs: { name: string; fields: ProtoField[] }[]
  extensions: string[]
  messages: ProtoMessage[]
  enums: ProtoEnum[]
}

export interface ProtoEnum {
  name: string
  reserved: string[]
  options: ProtoOption[]
  values: { name: string; tag: string; options: ProtoOption[] }[]
}

export interface ProtoMethod {
  name: string
  input: string
  output: string
  options: ProtoOption[]
}

export interface ProtoFile {
  syntax: string | undefined
  package: string
  imports: string[]
  options: ProtoOption[]
  messages: ProtoMessage[]
  enums: ProtoEnum[]
  extends: { name: string; fields: ProtoField[] }[]
  services: { name: string; options: ProtoOption[]; methods: ProtoMethod[] }[]
}
