// Numbers of the AMQP 0-9-1 wire format.

export const FrameType = { method: 1, header: 2, body: 3, heartbeat: 8 } as const

export const FRAME_END = 0xce

/** Type (1), channel (2) and payload size (4) in front of each payload. */
export const FRAME_HEAD_SIZE = 7

/** What a frame takes besides its payload: head and end byte. */
export const FRAME_OVERHEAD = 8

/** RabbitMQ's lower bound for frame_max, and the limit in force before tune-ok. */
export const FRAME_MIN_SIZE = 8192

/** RabbitMQ's hard cap for one message body, 512 MiB. */
export const CONTENT_SIZE_MAX = 536_870_912

/** Class id, weight and body size in front of the property flags in a content header payload. */
export const CONTENT_HEAD_SIZE = 12

export const ClassId = {
  connection: 10,
  channel: 20,
  access: 30,
  exchange: 40,
  queue: 50,
  basic: 60,
  confirm: 85,
  tx: 90,
} as const

// Class and method id as as one 32-bit number, for the methods that have a path of their own.
export const BASIC_PUBLISH = 0x003c_0028
export const BASIC_RETURN = 0x003c_0032
export const BASIC_DELIVER = 0x003c_003c
export const BASIC_GET_OK = 0x003c_0047
export const BASIC_ACK = 0x003c_0050
export const BASIC_REJECT = 0x003c_005a
export const BASIC_NACK = 0x003c_0078
