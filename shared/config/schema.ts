// Every setting of Warren, once: rabbitmq.conf key, kind, bounds, default and its explanation. The
// type `Config`, the loader, `warren config` and the table in README.md all come from here. Keys
// that RabbitMQ has keep its name, unit and default; the others are Warren's own. A change takes
// effect at the next start.

import { mqttSettings } from './mqtt-settings.ts'
import type { SettingTable, SettingValue } from './setting.ts'
import { streamSettings } from './stream-settings.ts'
import { vhostSettings } from './vhost-settings.ts'

const ownSettings = {
  'listeners.tcp': {
    type: 'listeners',
    default: [{ name: 'default', host: '', port: 5672 }],
    env: 'RABBITMQ_NODE_PORT',
    doc: 'Where AMQP is served. Setting any listener replaces the default one.',
  },
  'listeners.ssl': {
    type: 'listeners',
    default: [],
    doc: 'Where AMQP over TLS is served, usually on 5671; needs a certificate and its key.',
  },
  proxy_protocol: {
    type: 'boolean',
    default: false,
    doc: 'Connections of AMQP begin with a PROXY protocol header (version 1 or 2), as from HAProxy or AWS NLB.',
  },
  'stomp.listeners.tcp': {
    type: 'listeners',
    default: [{ name: 'default', host: '', port: 61613 }],
    doc: 'Where STOMP is served.',
  },
  'stomp.listeners.ssl': {
    type: 'listeners',
    default: [],
    doc: 'Where STOMP over TLS is served, usually on 61614.',
  },
  'stomp.proxy_protocol': {
    type: 'boolean',
    default: false,
    doc: 'Connections of STOMP begin with a PROXY protocol header.',
  },
  'stream.listeners.tcp': {
    type: 'listeners',
    default: [{ name: 'default', host: '', port: 5552 }],
    doc: 'Where the stream protocol is served.',
  },
  'stream.listeners.ssl': {
    type: 'listeners',
    default: [],
    doc: 'Where the stream protocol over TLS is served, usually on 5551.',
  },
  'stream.proxy_protocol': {
    type: 'boolean',
    default: false,
    doc: 'Connections of the stream protocol begin with a PROXY protocol header.',
  },
  'web_mqtt.tcp': {
    type: 'listeners',
    default: [{ name: 'port', host: '', port: 15675 }],
    doc: 'Where MQTT is served to browsers over WebSocket; `web_mqtt.tcp.port = 15675` in RabbitMQ.',
  },
  'web_mqtt.ssl': {
    type: 'listeners',
    default: [],
    doc: 'The same over TLS, usually on 15676.',
  },
  'web_mqtt.tcp.ip': {
    type: 'string',
    default: '',
    doc: 'Address for the ports of `web_mqtt.tcp` that are given without one.',
  },
  'web_mqtt.ws_path': {
    type: 'string',
    default: '/ws',
    doc: 'Path of the WebSocket URL.',
  },
  'web_mqtt.allow_origins': {
    type: 'list',
    default: [],
    doc: 'Origins that may open a WebSocket, as `https://shop.example`; unset or `*`: any.',
  },
  'web_mqtt.ws_opts.max_frame_size': {
    type: 'bytes',
    default: 17825792,
    min: 1024,
    max: 536870912,
    doc: 'Largest WebSocket message that is taken.',
  },
  'web_mqtt.ws_opts.idle_timeout': {
    type: 'duration',
    default: 60000,
    min: 0,
    max: 86400000,
    doc: 'A WebSocket that is silent this long, pings unanswered, is closed; 0: never.',
  },
  'web_mqtt.proxy_protocol': {
    type: 'boolean',
    default: false,
    doc: 'Connections of `web_mqtt` begin with a PROXY protocol header.',
  },
  'web_stomp.tcp': {
    type: 'listeners',
    default: [{ name: 'port', host: '', port: 15674 }],
    doc: 'Where STOMP (and AMQP 0-9-1, sub-protocol `amqp`) is served to browsers over WebSocket; `web_stomp.tcp.port = 15674` in RabbitMQ.',
  },
  'web_stomp.ssl': {
    type: 'listeners',
    default: [],
    doc: 'The same over TLS, usually on 15673.',
  },
  'web_stomp.tcp.ip': {
    type: 'string',
    default: '',
    doc: 'Address for the ports of `web_stomp.tcp` that are given without one.',
  },
  'web_stomp.ws_path': {
    type: 'string',
    default: '/ws',
    doc: 'Path of the WebSocket URL.',
  },
  'web_stomp.allow_origins': {
    type: 'list',
    default: [],
    doc: 'Origins that may open a WebSocket, as `https://shop.example`; unset or `*`: any.',
  },
  'web_stomp.ws_opts.max_frame_size': {
    type: 'bytes',
    default: 17825792,
    min: 1024,
    max: 536870912,
    doc: 'Largest WebSocket message that is taken.',
  },
  'web_stomp.ws_opts.idle_timeout': {
    type: 'duration',
    default: 60000,
    min: 0,
    max: 86400000,
    doc: 'A WebSocket that is silent this long, pings unanswered, is closed; 0: never.',
  },
  'web_stomp.proxy_protocol': {
    type: 'boolean',
    default: false,
    doc: 'Connections of `web_stomp` begin with a PROXY protocol header.',
  },
  'web_stomp.ws_frame': {
    type: 'enum',
    values: ['text', 'binary'],
    default: 'text',
    doc: 'Kind of WebSocket message that STOMP frames are sent in; `binary` for bodies that are no UTF-8.',
  },
  'web_stomp.use_http_auth': {
    type: 'boolean',
    default: false,
    doc: 'HTTP Basic authentication of the WebSocket request gives the default login.',
  },
  'stomp.default_vhost': {
    type: 'string',
    default: '/',
    doc: 'Virtual host of STOMP clients that name none.',
  },
  'stomp.default_user': {
    type: 'string',
    default: 'guest',
    doc: 'User of STOMP clients that give no login; empty: they are refused.',
  },
  'stomp.default_pass': {
    type: 'string',
    default: 'guest',
    secret: true,
    doc: 'Password that goes with `stomp.default_user`.',
  },
  'stomp.implicit_connect': {
    type: 'boolean',
    default: false,
    doc: 'Log STOMP clients in as the default user when they send frames without CONNECT.',
  },
  'stomp.ssl_cert_login': {
    type: 'boolean',
    default: false,
    doc: 'STOMP clients that give no login are the user of their checked certificate.',
  },
  'stomp.default_topic_exchange': {
    type: 'string',
    default: 'amq.topic',
    doc: 'Exchange behind the STOMP destinations `/topic/...`.',
  },
  'stomp.default_nack_requeue': {
    type: 'boolean',
    default: true,
    doc: 'Whether a NACK without the header `requeue` puts the message back.',
  },
  'stomp.trailing_lf': {
    type: 'boolean',
    default: true,
    doc: 'Send a line feed behind each STOMP frame.',
  },
  'stomp.hide_server_info': {
    type: 'boolean',
    default: false,
    doc: 'Leave the header `server` out of CONNECTED.',
  },
  'stomp.login_timeout': {
    type: 'duration',
    default: 10000,
    min: 1,
    max: 3600000,
    doc: 'How long a STOMP client may take to log in.',
  },
  'stomp.max_frame_size': {
    type: 'bytes',
    default: 4194304,
    min: 1024,
    max: 268435456,
    doc: 'Largest STOMP frame; a larger one ends the connection.',
  },
  'stomp.max_frame_size_unauthenticated': {
    type: 'bytes',
    default: 65536,
    min: 1024,
    max: 16777216,
    doc: 'Largest STOMP frame before the login.',
  },
  'tcp_listen_options.backlog': {
    type: 'integer',
    default: 128,
    min: 1,
    max: 65535,
    doc: 'Connections the operating system may queue before they are accepted.',
  },
  'tcp_listen_options.nodelay': {
    type: 'boolean',
    default: true,
    doc: "Send small packets at once (TCP_NODELAY: no waiting by Nagle's algorithm).",
  },
  'tcp_listen_options.keepalive': {
    type: 'boolean',
    default: false,
    doc: 'Let the operating system probe idle connections (SO_KEEPALIVE).',
  },
  handshake_timeout: {
    type: 'duration',
    default: 10000,
    min: 1,
    max: 3600000,
    doc: 'How long a new connection may take until connection.open.',
  },
  ssl_handshake_timeout: {
    type: 'duration',
    default: 5000,
    min: 1,
    max: 3600000,
    doc: 'How long the TLS handshake may take.',
  },
  'ssl_options.cacertfile': {
    type: 'string',
    default: '',
    doc: 'PEM file with the authorities that may sign client certificates.',
  },
  'ssl_options.certfile': {
    type: 'string',
    default: '',
    doc: "PEM file with the server's certificate, intermediate ones after it.",
  },
  'ssl_options.keyfile': {
    type: 'string',
    default: '',
    doc: "PEM file with the certificate's private key.",
  },
  'ssl_options.password': {
    type: 'string',
    default: '',
    secret: true,
    doc: 'Passphrase of an encrypted private key.',
  },
  'ssl_options.verify': {
    type: 'enum',
    values: ['verify_none', 'verify_peer'],
    default: 'verify_none',
    doc: 'Whether a client certificate is asked for and checked.',
  },
  'ssl_options.fail_if_no_peer_cert': {
    type: 'boolean',
    default: false,
    doc: 'With `verify_peer`: refuse clients that present no certificate.',
  },
  'ssl_options.versions': {
    type: 'list',
    values: ['tlsv1.3', 'tlsv1.2'],
    default: ['tlsv1.3', 'tlsv1.2'],
    doc: 'TLS versions that are offered.',
  },
  ssl_cert_login_from: {
    type: 'enum',
    values: ['distinguished_name', 'common_name', 'subject_alternative_name'],
    default: 'distinguished_name',
    doc: 'What of a client certificate is the user name for EXTERNAL.',
  },
  heartbeat: {
    type: 'integer',
    default: 60,
    min: 0,
    max: 65535,
    unit: 's',
    doc: 'Heartbeat interval proposed to clients; 0 proposes none.',
  },
  frame_max: {
    type: 'bytes',
    default: 131072,
    min: 8192,
    max: 2147483647,
    doc: 'Largest frame proposed to clients.',
  },
  initial_frame_max: {
    type: 'bytes',
    default: 8192,
    min: 4096,
    max: 2147483647,
    doc: 'Largest frame before connection.tune-ok.',
  },
  channel_max: {
    type: 'integer',
    default: 2047,
    min: 0,
    max: 65535,
    aliases: ['max_channels_per_connection'],
    doc: 'Channels per connection; 0 leaves only the limit of the protocol, 65535.',
  },
  max_connections: {
    type: 'integer',
    default: 'infinity',
    min: 0,
    max: 1000000000,
    aliases: ['connection_max'],
    doc: 'Client connections to this node.',
  },
  consumer_max_per_channel: {
    type: 'integer',
    default: 'infinity',
    min: 1,
    max: 1000000000,
    doc: 'Consumers per channel.',
  },
  max_message_size: {
    type: 'bytes',
    default: 16777216,
    min: 1,
    max: 536870912,
    doc: 'Largest message body; a larger one closes its channel with 406.',
  },
  session_max_per_connection: {
    type: 'integer',
    default: 64,
    min: 1,
    max: 65536,
    doc: 'AMQP 1.0: sessions per connection.',
  },
  link_max_per_session: {
    type: 'integer',
    default: 256,
    min: 1,
    max: 65536,
    doc: 'AMQP 1.0: links per session.',
  },
  max_link_credit: {
    type: 'integer',
    default: 2000,
    min: 1,
    max: 65535,
    doc: 'AMQP 1.0: messages that a client may send on a link before it is given more credit.',
  },
  max_incoming_window: {
    type: 'integer',
    default: 4000,
    min: 1,
    max: 1000000,
    doc: 'AMQP 1.0: frames with messages that a client may send on a session before the window moves.',
  },
  'vm_memory_high_watermark.relative': {
    type: 'ratio',
    default: 0.6,
    min: 0,
    max: 1,
    doc: "Part of the machine's (or container's) memory above which publishers are blocked.",
  },
  'vm_memory_high_watermark.absolute': {
    type: 'bytes',
    default: 0,
    min: 0,
    max: 9007199254740991,
    doc: 'The same in bytes; wins over the relative one unless it is 0.',
  },
  'disk_free_limit.absolute': {
    type: 'bytes',
    default: 50000000,
    min: 0,
    max: 9007199254740991,
    doc: 'Publishers are blocked while less than this is free where `data_dir` is; 0 never blocks them.',
  },
  'disk_free_limit.relative': {
    type: 'ratio',
    default: 0,
    min: 0,
    max: 1000,
    doc: "The same as a multiple of the machine's memory; wins over the absolute one unless it is 0.",
  },
  default_vhost: {
    type: 'string',
    default: '/',
    env: 'RABBITMQ_DEFAULT_VHOST',
    doc: 'Virtual host that is made at the first start, in a blank data directory.',
  },
  default_vhosts: {
    type: 'list',
    default: [],
    doc: 'Further virtual hosts, one name each; one that is missing is made at every start.',
  },
  consumer_timeout: {
    type: 'duration',
    default: 1800000,
    min: 0,
    max: 315360000000,
    doc: 'How long a consumer may hold a delivery without acknowledging it; then its channel is closed. 0 allows any time. The argument `x-consumer-timeout` of a queue or consumer wins.',
  },
  default_queue_type: {
    type: 'enum',
    values: ['classic', 'quorum', 'stream'],
    default: 'classic',
    doc: 'Type of queues that are declared without one, where their virtual host has no default of its own.',
  },
  cluster_queue_limit: {
    type: 'integer',
    default: 'infinity',
    min: 0,
    max: 1000000000,
    doc: 'Queues on this node.',
  },
  cluster_exchange_limit: {
    type: 'integer',
    default: 'infinity',
    min: 0,
    max: 1000000000,
    doc: 'Exchanges on this node, the predeclared ones included.',
  },
  default_user: {
    type: 'string',
    default: 'guest',
    env: 'RABBITMQ_DEFAULT_USER',
    doc: 'User that is made at the first start, in a blank data directory.',
  },
  default_pass: {
    type: 'string',
    default: 'guest',
    secret: true,
    env: 'RABBITMQ_DEFAULT_PASS',
    doc: 'Password of the default user.',
  },
  default_user_tags: {
    type: 'flags',
    default: ['administrator'],
    doc: 'Tags of the default user.',
  },
  'default_permissions.configure': {
    type: 'string',
    default: '.*',
    doc: 'What the default user may declare and delete in the default virtual host (a regular expression).',
  },
  'default_permissions.write': {
    type: 'string',
    default: '.*',
    doc: 'What the default user may publish to.',
  },
  'default_permissions.read': {
    type: 'string',
    default: '.*',
    doc: 'What the default user may consume from.',
  },
  default_users: {
    type: 'records',
    default: [],
    fields: {
      name: {
        type: 'string',
        default: '',
        doc: 'User name, where it differs from NAME in the key',
      },
      password: { type: 'string', default: '', secret: true, doc: 'empty: no password login' },
      tags: { type: 'words', default: '', doc: 'separated by commas' },
      configure: { type: 'string', default: '.*', doc: 'permission' },
      write: { type: 'string', default: '.*', doc: 'permission' },
      read: { type: 'string', default: '.*', doc: 'permission' },
      vhost_pattern: {
        type: 'string',
        default: '.*',
        doc: 'regular expression for the virtual hosts where the permissions hold',
      },
    },
    doc: 'Further users. One that is missing is made at every start; one that is there stays as it is.',
  },
  loopback_users: {
    type: 'flags',
    default: ['guest'],
    doc: 'Users that may connect from this machine only.',
  },
  anonymous_login_user: {
    type: 'string',
    default: 'guest',
    doc: 'User that ANONYMOUS logs in as; `none` turns ANONYMOUS off.',
  },
  anonymous_login_pass: {
    type: 'string',
    default: 'guest',
    secret: true,
    doc: 'Password used for ANONYMOUS; `none` turns ANONYMOUS off.',
  },
  auth_mechanisms: {
    type: 'list',
    values: ['PLAIN', 'AMQPLAIN', 'ANONYMOUS', 'EXTERNAL'],
    default: ['PLAIN', 'AMQPLAIN', 'ANONYMOUS'],
    doc: 'SASL mechanisms that are offered; EXTERNAL shows only to clients with a checked certificate.',
  },
  'deprecated_features.permit.transient_nonexcl_queues': {
    type: 'boolean',
    default: true,
    doc: 'Whether queues may be neither durable nor exclusive.',
  },
  'deprecated_features.permit.global_qos': {
    type: 'boolean',
    default: true,
    doc: 'Whether basic.qos may set one prefetch for the whole channel.',
  },
  'deprecated_features.permit.amqp_address_v1': {
    type: 'boolean',
    default: false,
    doc: 'Whether AMQP 1.0 clients may use addresses in the form of RabbitMQ 3.',
  },
  cluster_name: {
    type: 'string',
    default: '',
    derived: 'warren@ and the host name',
    doc: 'Name announced to clients.',
  },
  'product.name': {
    type: 'string',
    default: 'Warren',
    doc: 'Product announced to clients.',
  },
  'product.name_amqp10': {
    type: 'string',
    default: 'RabbitMQ',
    doc: 'Product announced to clients of AMQP 1.0: RabbitMQ’s client libraries talk to no other.',
  },
  'product.version': {
    type: 'string',
    default: '4.2.1',
    doc: 'Version announced to clients: the level of RabbitMQ that is matched, since client libraries turn features on by it.',
  },
  'log.console': {
    type: 'boolean',
    default: true,
    doc: 'Write the log to standard output.',
  },
  'log.console.level': {
    type: 'enum',
    values: ['debug', 'info', 'warning', 'error', 'none'],
    default: 'info',
    aliases: ['log.level', 'log.default.level'],
    doc: 'Least severe log lines that are written.',
  },
  'log.console.formatter': {
    type: 'enum',
    values: ['plaintext', 'json'],
    default: 'plaintext',
    aliases: ['log.formatter'],
    doc: 'Form of the log lines.',
  },
  shards: {
    type: 'integer',
    default: 0,
    min: 1,
    max: 64,
    derived: 'cores - 1, at least 1',
    doc: 'Threads that own queues.',
  },
  'gateways.amqp.workers': {
    type: 'integer',
    default: 1,
    min: 1,
    max: 64,
    doc: 'Threads that serve AMQP connections; more than 1 needs Node 22.12 or newer.',
  },
  'gateways.amqp.isolation': {
    type: 'enum',
    values: ['thread', 'process'],
    default: 'thread',
    doc: 'Run the AMQP gateway as a thread, or as an operating-system process of its own.',
  },
  'gateways.mqtt.workers': {
    type: 'integer',
    default: 0,
    min: 0,
    max: 64,
    derived: '0 on up to 4 cores, else 1',
    doc: 'Threads that serve MQTT; 0: one that all protocols with 0 here share. More than 1 needs Node 22.12 or newer.',
  },
  'gateways.mqtt.isolation': {
    type: 'enum',
    values: ['thread', 'process'],
    default: 'thread',
    doc: 'Where MQTT is served; `process`: an operating-system process of its own.',
  },
  'gateways.stomp.workers': {
    type: 'integer',
    default: 0,
    min: 0,
    max: 64,
    derived: '0 on up to 4 cores, else 1',
    doc: 'Threads that serve STOMP; 0: one that all protocols with 0 here share. More than 1 needs Node 22.12 or newer.',
  },
  'gateways.stomp.isolation': {
    type: 'enum',
    values: ['thread', 'process'],
    default: 'thread',
    doc: 'Where STOMP is served; `process`: an operating-system process of its own.',
  },
  'gateways.stream.workers': {
    type: 'integer',
    default: 0,
    min: 0,
    max: 64,
    derived: '0 on up to 4 cores, else 1',
    doc: 'Threads that serve the stream protocol; 0: one that all protocols with 0 here share. More than 1 needs Node 22.12 or newer.',
  },
  'gateways.stream.isolation': {
    type: 'enum',
    values: ['thread', 'process'],
    default: 'thread',
    doc: 'Where the stream protocol is served; `process`: an operating-system process of its own.',
  },
  'gateways.shared.isolation': {
    type: 'enum',
    values: ['thread', 'process'],
    default: 'thread',
    doc: 'Where the protocols are served that share a thread.',
  },
  queue_memory_budget: {
    type: 'bytes',
    default: 67108864,
    min: 0,
    max: 1099511627776,
    doc: 'Messages of one durable queue that stay in memory when they are on disk too.',
  },
  data_dir: {
    type: 'string',
    default: 'warren-data',
    doc: 'Folder for everything that is kept on disk.',
  },
} as const

/** The table, with literal types. */
export const settings: typeof ownSettings &
  typeof vhostSettings &
  typeof mqttSettings &
  typeof streamSettings = {
  ...ownSettings,
  ...vhostSettings,
  ...mqttSettings,
  ...streamSettings,
}

/** A key of the configuration. */
export type ConfigKey = keyof typeof settings

/** The effective configuration: every setting's value by its key. Plain data, so threads can be sent it. */
export type Config = { readonly [K in ConfigKey]: SettingValue<(typeof settings)[K]> }

/** The same table for code that walks it; the annotation also makes the compiler check every row. */
export const settingTable: SettingTable = settings
