// Direct reply-to: a pseudo queue that stands for the channel that consumes from it.

/** The name that clients consume from and publish as reply-to (ASCII). */
export const replyToName = 'amq.rabbitmq.reply-to'
