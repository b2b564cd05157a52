// The one error that codecs throw. It crosses a file border because bytes can be wrong at any depth
// of a decoder; the gateway host catches it once per batch and closes the connection.

/**
 * Input bytes that break the format or a limit.
 *
 * `code` is the reply code of the protocol that was being read (501, 502, 540, ... in AMQP 0-9-1), or 0
 * where the place that threw does not know the protocol. `text` is the explanation alone, without
 * the code's name in front. After one of these the decoder that threw is in no defined state.
 */
export class DecodeError extends Error {
  readonly code: number
  readonly text: string

  constructor(code: number, text: string) {
    super(text)
    this.name = 'DecodeError'
    this.code = code
    this.text = text
  }
}
