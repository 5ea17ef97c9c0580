import { freePorts } from './probe.js'

export interface Address {
  host: string
  port: number
}

export interface ListenerOptions {
  /** Upper-case name, for example `SASL`. */
  name: string
  protocol: 'PLAINTEXT' | 'SSL' | 'SASL_PLAINTEXT' | 'SASL_SSL'
  /** User → password for SASL PLAIN. */
  plainUsers?: Record<string, string> | undefined
  /** User → password for SCRAM-SHA-256 and SCRAM-SHA-512. */
  scramUsers?: Record<string, string> | undefined
  /** Properties of this listener, without the prefix `listener.name.<name>.`, for example `ssl.keystore.location`. */
  properties?: Record<string, string> | undefined
}

interface LayoutOptions {
  brokers?: number | undefined
  listeners?: ListenerOptions[] | undefined
  advertised?: ((brokerIndex: number, port: number, listener: string) => Address | Promise<Address>) | undefined
  authorizer?: boolean | undefined
  racks?: readonly string[] | undefined
  properties?: Record<string, string | number | boolean> | undefined
}

export interface Layout {
  controllerId: number
  /** Only when the controller is a JVM of its own. */
  controller: Record<string, string> | undefined
  brokers: {
    nodeId: number
    ports: Record<string, number>
    advertised: Record<string, Address>
    properties: Record<string, string>
  }[]
  scram: string[]
}

/** Turns the options into one properties file per node. */
export async function layOut(options: LayoutOptions): Promise<Layout> {
  const count = options.brokers ?? 1
  const apart = count > 1
  const controllerId = apart ? 1000 : 1
  const [controllerPort = 0] = await freePorts(1)
  const extra = options.listeners ?? []
  const names = ['PLAINTEXT', ...extra.map(listener => listener.name)]
  const overrides = Object.fromEntries(
    Object.entries(options.properties ?? {}).map(([key, value]) => [key, String(value)])
  )
  const common: Record<string, string> = {
    'controller.quorum.voters': `${controllerId}@127.0.0.1:${controllerPort}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map': [
      'CONTROLLER:PLAINTEXT',
      'INTERNAL:PLAINTEXT',
      'PLAINTEXT:PLAINTEXT',
      ...extra.map(({ name, protocol }) => `${name}:${protocol}`)
    ].join(','),
    ...defaults(count),
    ...(options.authorizer === true && {
      'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
      // Brokers and controller talk without authentication, as does the PLAINTEXT listener.
      'super.users': 'User:ANONYMOUS'
    })
  }
  const brokers = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const free = await freePorts(names.length + 1)
      const ports = Object.fromEntries(names.map((name, i) => [name, free[i] ?? 0]))
      const internal = free[names.length]
      const advertised: Record<string, Address> = {}
      for (const name of names) {
        const port = ports[name] ?? 0
        advertised[name] = (await options.advertised?.(index, port, name)) ?? { host: '127.0.0.1', port }
      }
      const listeners = [`INTERNAL://127.0.0.1:${internal}`, ...names.map(name => `${name}://127.0.0.1:${ports[name]}`)]
      const told = names.map(name => `${name}://${advertised[name]?.host}:${advertised[name]?.port}`)
      const properties = {
        ...common,
        'process.roles': apart ? 'broker' : 'broker,controller',
        'node.id': String(index + 1),
        'inter.broker.listener.name': 'INTERNAL',
        ...(options.racks?.[index] !== undefined && { 'broker.rack': options.racks[index] }),
        listeners: [...listeners, ...(apart ? [] : [`CONTROLLER://127.0.0.1:${controllerPort}`])].join(','),
        'advertised.listeners': [`INTERNAL://127.0.0.1:${internal}`, ...told].join(','),
        ...Object.fromEntries(extra.flatMap(listener => Object.entries(listenerProperties(listener)))),
        ...overrides
      }
      return { nodeId: index + 1, ports, advertised, properties }
    })
  )
  const controller = {
    ...common,
    'process.roles': 'controller',
    'node.id': String(controllerId),
    listeners: `CONTROLLER://127.0.0.1:${controllerPort}`,
    ...overrides
  }
  const scram = extra.flatMap(({ scramUsers = {} }) =>
    Object.entries(scramUsers).flatMap(([name, password]) =>
      ['SCRAM-SHA-256', 'SCRAM-SHA-512'].map(mechanism => `${mechanism}=[name=${name},password=${password}]`)
    )
  )
  return { controllerId, controller: apart ? controller : undefined, brokers, scram }
}

/** Small and quick, with the limits of a real cluster where the tests need them. */
function defaults(brokers: number): Record<string, string> {
  const replication = String(Math.min(3, brokers))
  const minIsr = String(Math.min(2, brokers))
  return {
    'auto.create.topics.enable': 'false',
    'default.replication.factor': replication,
    'offsets.topic.replication.factor': replication,
    'offsets.topic.num.partitions': '4',
    'transaction.state.log.replication.factor': replication,
    'transaction.state.log.min.isr': minIsr,
    'transaction.state.log.num.partitions': '4',
    'share.coordinator.state.topic.replication.factor': replication,
    'share.coordinator.state.topic.min.isr': minIsr,
    'share.coordinator.state.topic.num.partitions': '1',
    // Tests write records of any age; retention would delete them at some moment.
    'log.retention.ms': '-1',
    'group.initial.rebalance.delay.ms': '0',
    'group.min.session.timeout.ms': '1000',
    'num.network.threads': '2',
    'num.io.threads': '4',
    'background.threads': '2',
    'num.recovery.threads.per.data.dir': '1',
    // Allocated at once, on the heap: the default of 128 MB would not fit.
    'log.cleaner.dedupe.buffer.size': '16777216',
    // A killed broker is noticed by its silence only; the default is 9 s.
    'broker.session.timeout.ms': '3000',
    'broker.heartbeat.interval.ms': '300'
  }
}

function listenerProperties(listener: ListenerOptions): Record<string, string> {
  const prefix = `listener.name.${listener.name.toLowerCase()}.`
  const properties: Record<string, string> = {}
  const mechanisms: string[] = []
  if (listener.plainUsers !== undefined) {
    mechanisms.push('PLAIN')
    const users = Object.entries(listener.plainUsers).map(([user, password]) => `user_${user}="${password}"`)
    properties[`${prefix}plain.sasl.jaas.config`] =
      `org.apache.kafka.common.security.plain.PlainLoginModule required ${users.join(' ')};`
  }
  if (listener.scramUsers !== undefined) {
    for (const mechanism of ['SCRAM-SHA-256', 'SCRAM-SHA-512']) {
      mechanisms.push(mechanism)
      properties[`${prefix}${mechanism.toLowerCase()}.sasl.jaas.config`] =
        'org.apache.kafka.common.security.scram.ScramLoginModule required;'
    }
  }
  if (mechanisms.length > 0) properties[`${prefix}sasl.enabled.mechanisms`] = mechanisms.join(',')
  for (const [key, value] of Object.entries(listener.properties ?? {})) properties[prefix + key] = value
  return properties
}
