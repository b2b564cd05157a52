// What the tests use of stompit, which comes without types.

declare module 'stompit' {
  interface Message {
    readString(encoding: string, done: (error: Error | null, body?: string) => void): void
  }

  interface Transaction {
    send(headers: Readonly<Record<string, string>>): { end(body: string): void }
    commit(): void
  }

  interface Client extends Transaction {
    subscribe(
      headers: Readonly<Record<string, string>>,
      onMessage: (error: Error | null, message: Message) => void,
    ): void
    ack(message: Message): void
    begin(): Transaction
    disconnect(done: (error: Error | null) => void): void
    destroy(): void
  }

  function connect(options: object, done: (error: Error | null, client: Client) => void): void
}
