// Preloaded into a broker (node --import): its wall clock is WARREN_CLOCK_MS milliseconds ahead.

const ahead = Number(process.env.WARREN_CLOCK_MS ?? 0)
const { now } = Date

Date.now = () => now() + ahead
