import { X509Certificate } from 'node:crypto'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../../core/config/load.ts'
import type { Listener } from '../../../gateways/host/acceptor.ts'
import { openListeners } from '../../../gateways/host/acceptor.ts'
import {
  alternativeName,
  certificateUser,
  commonName,
  distinguishedName,
} from '../../../gateways/host/certificate.ts'
import type { ListenerPlan, TlsPlan } from '../../../gateways/host/listener-plan.ts'
import { planListeners, supportsSharedPort } from '../../../gateways/host/listener-plan.ts'
import { isLoopback, plainAddress } from '../../../gateways/host/peer-address.ts'
import type { Peer } from '../../../gateways/host/protocol.ts'
import type { TransportEvents } from '../../../gateways/host/transport.ts'
import { createLog } from '../../../shared/log.ts'
import type { Certificates } from '../../support/certificates.ts'
import { makeCertificates } from '../../support/certificates.ts'
import { eventually } from '../../support/wait.ts'

const base: ListenerPlan = {
  protocol: 'echo',
  name: 'default',
  host: '127.0.0.1',
  port: 0,
  backlog: 8,
  noDelay: true,
  keepAlive: true,
  shared: false,
  proxyMs: undefined,
  tls: undefined,
  web: undefined,
}

let opened: Listener[] = []
let peers: Peer[] = []
let received: string[] = []
const silent: TransportEvents = {
  onData: () => {},
  onDataEnd: () => {},
  onEnd: () => {},
  onError: () => {},
  onClose: () => {},
}
const lines: string[] = []
const log = createLog((level, msg) => lines.push(`${level}: ${msg}`))

async function open(plan: Partial<ListenerPlan>): Promise<Listener[]> {
  const listeners = await openListeners({ ...base, ...plan }, log, (transport, peer) => {
    peers.push(peer)
    transport.start({ ...silent, onData: (chunk) => received.push(chunk.toString()) })
    transport.write([Buffer.from('hello')], () => {})
    transport.end()
  })
  opened.push(...listeners)
  return listeners
}

afterEach(() => {
  for (const listener of opened) listener.close()
  opened = []
  peers = []
  received = []
  lines.length = 0
})

describe('listeners', () => {
  test('without a host take IPv4 and IPv6, and show IPv4 peers as such', async () => {
    const [listener] = await open({ host: '' })
    const socket = connect(listener?.port ?? 0, '127.0.0.1')
    const peer = await eventually('a peer', () => peers[0])
    expect(peer).toMatchObject({ address: '127.0.0.1', localAddress: '127.0.0.1', loopback: true })
    socket.destroy()
  })

  test('on a host name take each of its addresses', async () => {
    const listeners = await open({ host: 'localhost' })
    expect(listeners.map(({ address }) => address)).toContain('127.0.0.1')
    expect(listeners.every(({ address }) => isLoopback(address))).toBe(true)
  })

  test('that cannot be opened name address and reason', async () => {
    const [listener] = await open({})
    const again = open({ port: listener?.port ?? 0 })
    await expect(again).rejects.toThrow(/cannot listen on 127\.0\.0\.1:\d+: .*EADDRINUSE/)
    await expect(open({ host: '192.0.2.1' })).rejects.toThrow(/192\.0\.2\.1:0: .*EADDRNOTAVAIL/)
  })

  test('come from the configuration', () => {
    const set = [
      'listeners.ssl.default=5671',
      'ssl_options.versions.1=tlsv1.3',
      'ssl_options.certfile=c.pem',
      'ssl_options.keyfile=k.pem',
    ]
    const { config } = loadConfig({ env: {}, set })
    const [tcp, ssl] = planListeners(config, 'amqp', [], true)
    expect(tcp).toMatchObject({ protocol: 'amqp', port: 5672, shared: true, tls: undefined })
    expect(ssl).toMatchObject({ protocol: 'amqp/ssl', port: 5671 })
    expect(ssl?.tls).toMatchObject({ minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' })
  })

  test('of WebSockets come with path, origins and sub-protocols', () => {
    const set = [
      'web_stomp.tcp.port=80',
      'web_stomp.tcp.ip=10.0.0.1',
      'web_stomp.ws_path=/chat',
      'web_stomp.allow_origins.1=https://shop.example',
      'web_stomp.proxy_protocol=true',
      'stomp.listeners.tcp=none',
    ]
    const { config } = loadConfig({ env: {}, set })
    const plans = planListeners(config, 'stomp', ['v12.stomp', 'amqp'], false)
    expect(plans).toHaveLength(1)
    expect(plans[0]).toMatchObject({
      protocol: 'http/web-stomp',
      host: '10.0.0.1',
      port: 80,
      proxyMs: 10_000,
      web: {
        path: '/chat',
        origins: ['https://shop.example'],
        subprotocols: ['v12.stomp', 'amqp'],
        binary: false,
      },
    })
  })

  test('can share a port from Node 22.12 on', () => {
    expect(supportsSharedPort('20.19.0', 'linux')).toBe(false)
    expect(supportsSharedPort('22.11.0', 'linux')).toBe(false)
    expect(supportsSharedPort('22.12.0', 'linux')).toBe(true)
    expect(supportsSharedPort('24.0.0', 'linux')).toBe(true)
    expect(supportsSharedPort('24.0.0', 'darwin')).toBe(false)
  })
})

describe('addresses', () => {
  test('are shown plainly', () => {
    expect(plainAddress('::ffff:10.1.2.3')).toBe('10.1.2.3')
    expect(plainAddress('2001:db8::1')).toBe('2001:db8::1')
  })

  test('of this machine are loopback', () => {
    for (const address of ['127.0.0.1', '127.8.9.1', '::1', '::ffff:127.0.0.1']) {
      expect(isLoopback(address)).toBe(true)
    }
    for (const address of ['10.0.0.1', '::', '2001:db8::127']) {
      expect(isLoopback(address)).toBe(false)
    }
  })
})

describe('the user of a certificate', () => {
  test('is its distinguished name, the most specific part first (RFC 4514)', () => {
    expect(distinguishedName('C=DE\nO=Client\\, Inc\nCN=guest')).toBe(
      'CN=guest,O=Client\\, Inc,C=DE',
    )
    expect(distinguishedName('')).toBeUndefined()
    expect(distinguishedName(undefined)).toBeUndefined()
  })

  test('is its common name, unescaped', () => {
    expect(commonName('O=x\nCN=a\\, b\\+\\C3\\A9')).toBe('a, b+\u00e9')
    expect(commonName('O=x')).toBeUndefined()
  })

  test('is its alternative name, a DNS name if there is one', () => {
    expect(alternativeName('email:me@example.com, DNS:host.example.com')).toBe('host.example.com')
    expect(alternativeName('email:me@example.com')).toBe('me@example.com')
    expect(alternativeName(undefined)).toBeUndefined()
  })
})

describe('TLS listeners', () => {
  let certificates: Certificates
  let renewed: Certificates
  let dir: string

  beforeAll(() => {
    certificates = makeCertificates('kim')
    renewed = makeCertificates('kim')
    dir = mkdtempSync(join(tmpdir(), 'warren-tls-'))
  }, 60_000)

  afterAll(() => {
    certificates.remove()
    renewed.remove()
    rmSync(dir, { recursive: true })
  })

  function tlsPlan(plan: Partial<TlsPlan> = {}): TlsPlan {
    return {
      certFile: certificates.serverCertFile,
      keyFile: certificates.serverKeyFile,
      caFile: certificates.caFile,
      passphrase: '',
      verifyPeer: true,
      requirePeer: false,
      minVersion: 'TLSv1.2',
      maxVersion: 'TLSv1.3',
      handshakeMs: 300,
      loginFrom: 'distinguished_name',
      ...plan,
    }
  }

  function hello(port: number, ca: Buffer, certificate = false): Promise<string> {
    return new Promise((done, failed) => {
      let text = ''
      const socket = connectTls({
        port,
        host: '127.0.0.1',
        ca,
        ...(certificate ? { cert: certificates.clientCert, key: certificates.clientKey } : {}),
      })
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString()
      })
      socket.once('error', failed)
      socket.once('end', () => done(text))
    })
  }

  test('serve clients and take the user from their certificate', async () => {
    const [listener] = await open({ tls: tlsPlan() })
    expect(await hello(listener?.port ?? 0, certificates.ca)).toBe('hello')
    expect(await hello(listener?.port ?? 0, certificates.ca, true)).toBe('hello')
    expect(peers.map(({ tls, certificateUser: user }) => [tls, user])).toEqual([
      [true, undefined],
      [true, 'CN=kim,O=test'],
    ])
    const certificate = new X509Certificate(certificates.clientCert)
    expect(certificateUser(certificate, 'common_name')).toBe('kim')
  })

  test('read their files again when these have changed', async () => {
    const certFile = join(dir, 'server.pem')
    const keyFile = join(dir, 'server.key')
    copyFileSync(certificates.serverCertFile, certFile)
    copyFileSync(certificates.serverKeyFile, keyFile)
    const [listener] = await open({ tls: tlsPlan({ certFile, keyFile }) })
    expect(await hello(listener?.port ?? 0, certificates.ca)).toBe('hello')
    copyFileSync(renewed.serverCertFile, certFile)
    copyFileSync(renewed.serverKeyFile, keyFile)
    await eventually('the new certificate', () =>
      hello(listener?.port ?? 0, renewed.ca).catch(() => ''),
    )
    expect(lines).toContain('info: TLS certificate files read again')
  })

  test('hang up on clients that do not shake hands', async () => {
    const [listener] = await open({ tls: tlsPlan() })
    const socket = connect(listener?.port ?? 0, '127.0.0.1')
    await new Promise<void>((done) => socket.once('close', () => done()))
    expect(peers).toEqual([])
  })

  test('need a certificate', async () => {
    await expect(open({ tls: tlsPlan({ certFile: '' }) })).rejects.toThrow('ssl_options.certfile')
    const missing = open({ tls: tlsPlan({ certFile: '/no/such/file' }) })
    await expect(missing).rejects.toThrow('ENOENT')
  })
})
