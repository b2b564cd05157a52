// A throw-away certificate authority with a server and a client certificate, made by openssl.

import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Certificates {
  readonly caFile: string
  readonly serverCertFile: string
  readonly serverKeyFile: string
  readonly ca: Buffer
  readonly clientCert: Buffer
  readonly clientKey: Buffer
  /** A client certificate of an authority that the server does not know. */
  readonly strangerCert: Buffer
  readonly strangerKey: Buffer
  remove(): void
}

/** Makes everything new; `clientName` is the common name of the client certificate. */
export function makeCertificates(clientName: string): Certificates {
  const dir = mkdtempSync(join(tmpdir(), 'warren-certificates-'))
  const file = (name: string): string => join(dir, name)
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' })
  }
  const authority = (name: string): void => {
    const subject = `/CN=${name}`
    openssl(
      'req',
      '-x509',
      ...NEW_KEY,
      '-keyout',
      `${name}.key`,
      '-out',
      `${name}.pem`,
      '-subj',
      subject,
    )
  }
  const signed = (name: string, issuer: string, subject: string, extensions: string): void => {
    writeFileSync(file(`${name}.ext`), extensions)
    openssl('req', ...NEW_KEY, '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject)
    const request = ['-req', '-in', `${name}.csr`, '-extfile', `${name}.ext`, '-days', '2']
    const by = ['-CA', `${issuer}.pem`, '-CAkey', `${issuer}.key`, '-CAcreateserial']
    openssl('x509', ...request, ...by, '-out', `${name}.pem`)
  }
  authority('authority')
  authority('other')
  const clientUse = 'extendedKeyUsage=clientAuth'
  signed('server', 'authority', '/CN=localhost', 'subjectAltName=DNS:localhost,IP:127.0.0.1')
  signed('client', 'authority', `/O=test/CN=${clientName}`, clientUse)
  signed('stranger', 'other', `/O=test/CN=${clientName}`, clientUse)
  return {
    caFile: file('authority.pem'),
    serverCertFile: file('server.pem'),
    serverKeyFile: file('server.key'),
    ca: readFileSync(file('authority.pem')),
    clientCert: readFileSync(file('client.pem')),
    clientKey: readFileSync(file('client.key')),
    strangerCert: readFileSync(file('stranger.pem')),
    strangerKey: readFileSync(file('stranger.key')),
    remove: () => rmSync(dir, { recursive: true, force: true }),
  }
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
