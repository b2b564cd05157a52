// How many virtual hosts there may be, and what new ones get: a part of the table in schema.ts.

/** The rows, with literal types. */
export const vhostSettings = {
  vhost_max: {
    type: 'integer',
    default: 'infinity',
    min: 0,
    max: 1000000000,
    doc: 'Virtual hosts on this node.',
  },
  'default_limits.vhosts': {
    type: 'records',
    default: [],
    fields: {
      pattern: {
        type: 'string',
        default: '.*',
        doc: 'regular expression for the names of virtual hosts',
      },
      max_connections: { type: 'string', default: '', doc: 'limit; empty: none' },
      max_queues: { type: 'string', default: '', doc: 'limit; empty: none' },
    },
    doc: 'Limits that virtual hosts get when they are made: those of the first entry that matches.',
  },
  'default_policies.operator': {
    type: 'records',
    default: [],
    fields: {
      vhost_pattern: {
        type: 'string',
        default: '.*',
        doc: 'regular expression for the names of virtual hosts',
      },
      queue_pattern: { type: 'string', default: '.*', doc: 'regular expression for queues' },
      expires: { type: 'string', default: '', doc: 'milliseconds; empty: not in the policy' },
      message_ttl: { type: 'string', default: '', doc: 'likewise' },
      max_length: { type: 'string', default: '', doc: 'messages' },
      max_length_bytes: { type: 'string', default: '', doc: 'bytes' },
      delivery_limit: { type: 'string', default: '', doc: 'deliveries' },
    },
    doc: 'Operator policies, called NAME, that virtual hosts get when they are made.',
  },
} as const
