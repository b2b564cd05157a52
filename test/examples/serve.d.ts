/** The example page and the feed of its chart. */
export function serveExamples(options: {
  readonly port: number
  readonly amqpUrl: string
}): Promise<{ readonly port: number; close(): Promise<void> }>
