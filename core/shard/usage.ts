// What users and vhosts have open, as far as it is limited.

/** Counts by name. */
export class Tally {
  private readonly counts: Map<string, number> = new Map()

  of(name: string): number {
    return this.counts.get(name) ?? 0
  }

  add(name: string): void {
    this.counts.set(name, this.of(name) + 1)
  }

  remove(name: string): void {
    const left = this.of(name) - 1
    if (left > 0) this.counts.set(name, left)
    else this.counts.delete(name)
  }
}

export class Usage {
  readonly vhostConnections: Tally = new Tally()
  readonly userConnections: Tally = new Tally()
  readonly userChannels: Tally = new Tally()
}
