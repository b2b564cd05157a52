// Settings of the stream protocol, a part of the table in schema.ts.

/** The rows, with literal types. */
export const streamSettings = {
  'stream.frame_max': {
    type: 'integer',
    default: 1048576,
    min: 8192,
    max: 16777216,
    unit: 'bytes',
    doc: 'Largest frame of the stream protocol that is taken from a client.',
  },
  'stream.initial_frame_max': {
    type: 'integer',
    default: 8192,
    min: 1024,
    max: 1048576,
    unit: 'bytes',
    doc: 'The same before a client has opened a vhost.',
  },
  'stream.heartbeat': {
    type: 'integer',
    default: 60,
    min: 0,
    max: 65535,
    unit: 's',
    doc: 'Heartbeat interval proposed to stream clients; 0 proposes none.',
  },
  'stream.initial_credits': {
    type: 'integer',
    default: 50000,
    min: 1,
    max: 10000000,
    doc: 'Messages of a stream client that may be unconfirmed before it is no longer read.',
  },
  'stream.credits_required_for_unblocking': {
    type: 'integer',
    default: 12500,
    min: 1,
    max: 10000000,
    doc: 'Unconfirmed messages below which such a client is read again.',
  },
  'stream.advertised_host': {
    type: 'string',
    default: '',
    doc: 'Host that stream clients are told to connect to; empty: the address that they came to.',
  },
  'stream.advertised_port': {
    type: 'integer',
    default: 0,
    min: 0,
    max: 65535,
    doc: 'Port that stream clients are told to connect to; 0: the one that they came to.',
  },
  'stream.advertised_tls_host': {
    type: 'string',
    default: '',
    doc: 'As `stream.advertised_host`, for clients that came over TLS.',
  },
  'stream.advertised_tls_port': {
    type: 'integer',
    default: 0,
    min: 0,
    max: 65535,
    doc: 'As `stream.advertised_port`, for clients that came over TLS.',
  },
  'stream.max_super_stream_partitions': {
    type: 'integer',
    default: 1000,
    min: 1,
    max: 100000,
    doc: 'Partitions of a super stream at most.',
  },
  'stream.max_uncompressed_sub_entry_batch_size': {
    type: 'integer',
    default: 67108864,
    min: 1,
    max: 1073741824,
    unit: 'bytes',
    doc: 'What a batch of a stream client may come to when it is unpacked.',
  },
} as const
