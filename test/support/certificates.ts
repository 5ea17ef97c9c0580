import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { forgetDirectory, watchDirectory } from './children.js'

export interface Issued {
  /** PEM. */
  cert: string
  /** PEM, PKCS #8, without a password. */
  key: string
}

/** A certificate authority of two days, by the openssl command. */
export class Authority {
  readonly #directory = mkdtempSync(join(tmpdir(), 'twinlog-ca-'))
  readonly #name: string

  constructor(name: string) {
    watchDirectory(this.#directory)
    this.#name = name
    this.#request('ca', name, ['-addext', 'basicConstraints=critical,CA:TRUE'])
  }

  /** PEM of its own certificate. */
  get ca(): string {
    return readFileSync(this.#file('ca.pem'), 'utf8')
  }

  /** A certificate for servers on the loopback address and for clients. */
  issue(commonName: string): Issued {
    const signed = ['-CA', this.#file('ca.pem'), '-CAkey', this.#file('ca.key')]
    this.#request(commonName, commonName, [...signed, '-addext', 'subjectAltName=IP:127.0.0.1'])
    return {
      cert: readFileSync(this.#file(`${commonName}.pem`), 'utf8'),
      key: readFileSync(this.#file(`${commonName}.key`), 'utf8')
    }
  }

  remove(): void {
    rmSync(this.#directory, { recursive: true, force: true })
    forgetDirectory(this.#directory)
  }

  #request(file: string, commonName: string, more: string[]): void {
    const kind = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
    const files = ['-keyout', this.#file(`${file}.key`), '-out', this.#file(`${file}.pem`)]
    const subject = ['-subj', `/O=${this.#name}/CN=${commonName}`]
    execFileSync('openssl', [...kind, ...files, ...subject, ...more], { stdio: 'pipe' })
  }

  #file(name: string): string {
    return join(this.#directory, name)
  }
}
