// Why a queue parts with a message that nobody has processed: the reasons of `x-death`.

export type DeathReason = 'expired' | 'maxlen' | 'rejected' | 'delivery_limit'
