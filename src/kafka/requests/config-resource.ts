export type ConfigResourceType = 'topic' | 'broker'

export const CONFIG_RESOURCE_CODES: Record<ConfigResourceType, number> = { topic: 2, broker: 4 }

export function configResourceType(code: number): ConfigResourceType {
  return code === CONFIG_RESOURCE_CODES.broker ? 'broker' : 'topic'
}
