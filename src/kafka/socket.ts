import { connect, type Socket } from 'node:net'
import type { ISocketFactory } from 'kafkajs'
import createDefaultSocketFactory from 'kafkajs/src/network/socketFactory.js'
import { TwinlogError } from '../errors.js'
import { type Address, formatAddress } from './addresses.js'
import type { ConnectionSettings } from './settings.js'

const KEEP_ALIVE_DELAY_MS = 60_000

/** Takes what a socket receives without a stream, and thus without a buffer and a copy for each read. */
export interface Inlet {
  /** Memory for the next bytes. */
  space(): Buffer
  /** So many bytes are in it. */
  received(bytes: number): void
}

/**
 * Opens a socket through the socket factory; resolves when it is connected (after the TLS handshake, where there is one).
 * A plain socket of our own fills `inlet`; any other emits `data`.
 */
export function openSocket(
  address: Address,
  settings: ConnectionSettings,
  inlet: Inlet,
  signal?: AbortSignal
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    let socket: Socket | undefined
    const where = `${settings.alias}: broker ${formatAddress(address)}`
    const settle = (error?: TwinlogError) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
      socket?.off('error', onError)
      socket?.off('close', onClose)
      // A socket without an error listener throws into the process when it fails before it has found its owner.
      socket?.on('error', () => undefined)
      if (error === undefined && socket !== undefined) {
        resolve(socket)
        return
      }
      socket?.destroy()
      reject(error ?? new TwinlogError('TWINLOG_INTERNAL', `${where}: connected without a socket`))
    }
    const fail = (problem: string, cause?: unknown, retriable = true) =>
      settle(
        new TwinlogError('TWINLOG_UNREACHABLE', `${where} ${problem}`, { cluster: settings.alias, retriable, cause })
      )
    const onError = (error: NodeJS.ErrnoException) => {
      const certificate = isCertificateError(error)
      const hint = certificate ? '; check the ssl option (ca, servername) against the broker certificate' : ''
      fail(`cannot be reached: ${error.message || (error.code ?? error.name)}${hint}`, error, !certificate)
    }
    const onClose = () => fail('closed the connection while it was being set up; do both sides agree on TLS?')
    const onAbort = () =>
      settle(new TwinlogError('TWINLOG_ABORTED', `${where}: connecting was aborted`, { cause: signal?.reason }))
    const timer = setTimeout(
      () => fail(`did not accept a connection within ${settings.connectionTimeoutMs} ms`),
      settings.connectionTimeoutMs
    )
    if (signal?.aborted === true) {
      onAbort()
      return
    }
    signal?.addEventListener('abort', onAbort, { once: true })
    let ssl: NonNullable<ConnectionSettings['ssl']>
    try {
      // kafkajs types `ssl` as always there, but passes undefined for plaintext, and factories rely on that.
      ssl = settings.ssl as typeof ssl
    } catch (error) {
      fail(`cannot be reached: the ssl option cannot be read: ${textOf(error)}`, error)
      return
    }
    try {
      // A factory may call back before it returns.
      socket = factoryOf(settings, ssl, inlet)({ ...address, ssl, onConnect: () => process.nextTick(settle) })
      socket.on('error', onError)
      socket.on('close', onClose)
      socket.setKeepAlive?.(true, KEEP_ALIVE_DELAY_MS)
      // Pipelined small requests would otherwise wait for the acknowledgement of the one before.
      socket.setNoDelay?.(true)
    } catch (error) {
      // Where there is no factory of the user's it is the certificate or the key that nothing can be made of.
      const what = settings.socketFactory === undefined ? 'the ssl option cannot be used' : 'the socket factory failed'
      fail(`cannot be reached: ${what}: ${textOf(error)}`, error)
    }
  })
}

function factoryOf(settings: ConnectionSettings, ssl: ConnectionSettings['ssl'], inlet: Inlet): ISocketFactory {
  if (settings.socketFactory !== undefined) return settings.socketFactory
  if (ssl !== undefined) return createDefaultSocketFactory()
  const onread = {
    buffer: () => inlet.space(),
    callback: (bytes: number) => {
      inlet.received(bytes)
      return true
    }
  }
  return ({ host, port, onConnect }) => connect({ host, port, onread }, onConnect)
}

const textOf = (error: unknown) => (error instanceof Error ? error.message : String(error))

function isCertificateError(error: NodeJS.ErrnoException): boolean {
  return /^(CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_|ERR_TLS_|ERR_SSL_.*CERTIFICATE|HOSTNAME_MISMATCH)/.test(
    error.code ?? ''
  )
}
