// AMQP over TLS: server certificates, client certificates and EXTERNAL logins.

import type { ConnectionOptions } from 'node:tls'
import { connect as connectTls } from 'node:tls'
import { connect, credentials } from 'amqplib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Broker } from '../support/broker.ts'
import { externalBroker, freePort, startWarren } from '../support/broker.ts'
import type { Certificates } from '../support/certificates.ts'
import { makeCertificates } from '../support/certificates.ts'
import { Clients } from '../support/clients.ts'
import { GATEWAY_PROFILES } from '../support/profiles.ts'
import type { LoginOptions } from '../support/raw-client.ts'
import { RawClient, textOf } from '../support/raw-client.ts'

const suite = externalBroker() === undefined ? describe : describe.skip

suite.each(GATEWAY_PROFILES)('TLS [$name]', (profile) => {
  let broker: Broker
  let certificates: Certificates
  let tlsPort: number

  beforeAll(async () => {
    certificates = makeCertificates('cert-user')
    tlsPort = await freePort()
    broker = await startWarren({
      settings: [
        ...profile.settings,
        `listeners.ssl.local=127.0.0.1:${tlsPort}`,
        `ssl_options.cacertfile=${certificates.caFile}`,
        `ssl_options.certfile=${certificates.serverCertFile}`,
        `ssl_options.keyfile=${certificates.serverKeyFile}`,
        'ssl_handshake_timeout=1500',
        'ssl_options.verify=verify_peer',
        'ssl_options.fail_if_no_peer_cert=false',
        'ssl_cert_login_from=common_name',
        'auth_mechanisms.1=PLAIN',
        'auth_mechanisms.2=EXTERNAL',
        'default_users.cert-user.password=unused',
      ],
    })
  })

  afterAll(async () => {
    await broker.stop()
    certificates.remove()
  })

  const server = (options: ConnectionOptions = {}): ConnectionOptions => ({
    host: '127.0.0.1',
    port: tlsPort,
    ca: certificates.ca,
    ...options,
  })

  const withCertificate = (): ConnectionOptions =>
    server({ cert: certificates.clientCert, key: certificates.clientKey })

  async function mechanismsFor(options: ConnectionOptions, login: LoginOptions): Promise<string> {
    const raw = await RawClient.connectTls(options)
    const { start } = await raw.login(login)
    await raw.close()
    return textOf(start, 'mechanisms')
  }

  it('serves clients that check its certificate', async () => {
    const raw = await RawClient.connectTls(server())
    await raw.login()
    await raw.openChannel(1)
    const queue = textOf(await raw.call(1, 'queue.declare', { exclusive: true }), 'queue')
    const body = Buffer.alloc(1_000_000, 'tls')
    raw.publish(1, { routingKey: queue, body })
    const got = await raw.call(1, 'basic.get', { queue, noAck: true })
    expect(got.body?.equals(body)).toBe(true)
    await raw.close()
  })

  it('offers EXTERNAL only to clients with a certificate', async () => {
    expect(await mechanismsFor(server(), {})).toBe('PLAIN')
    expect((await mechanismsFor(withCertificate(), {})).split(' ').sort()).toEqual([
      'EXTERNAL',
      'PLAIN',
    ])
  })

  it('logs a client in by the name in its certificate', async () => {
    const { clientCert: cert, clientKey: key, ca } = certificates
    const connection = await connect(`amqps://127.0.0.1:${tlsPort}`, {
      cert,
      key,
      ca: [ca],
      credentials: credentials.external(),
    })
    const channel = await connection.createConfirmChannel()
    const { queue } = await channel.assertQueue('', { exclusive: true })
    // user-id must be the user of the connection: this shows who it is.
    channel.sendToQueue(queue, Buffer.from('x'), { userId: 'cert-user' })
    await channel.waitForConfirms()
    await connection.close()
  })

  it('does not let a client in whose authority it does not know', async () => {
    const { strangerCert: cert, strangerKey: key } = certificates
    const raw = await RawClient.connectTls(server({ cert, key })).catch(() => undefined)
    if (raw !== undefined) {
      await expect(raw.login({ mechanism: 'EXTERNAL', response: '' })).rejects.toThrow()
    }
  })

  it('offers TLS 1.2 and 1.3 and nothing older', async () => {
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const raw = await RawClient.connectTls(server({ minVersion: version, maxVersion: version }))
      raw.destroy()
    }
    await expect(
      RawClient.connectTls(server({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1' })),
    ).rejects.toThrow()
  })

  it('survives clients that speak plain AMQP, garbage or nothing to the TLS port', async () => {
    const plain = await RawClient.connect(tlsPort)
    plain.readAsBytes().write(Buffer.from('AMQP\x00\x00\x09\x01', 'latin1'))
    const garbage = await RawClient.connect(tlsPort)
    garbage.readAsBytes().write(Buffer.alloc(1000, 7))
    const nothing = await RawClient.connect(tlsPort)
    await plain.waitForEnd()
    await garbage.waitForEnd()
    await nothing.waitForEnd()
    await new Clients(broker).roundTrip()
    const socket = connectTls(server())
    await new Promise<void>((resolve, reject) => {
      socket.once('secureConnect', resolve)
      socket.once('error', reject)
    })
    socket.destroy()
  })
})
