// Single active consumer: of the consumers of one name on one stream, one at a time is served. Which
// one it is, and the order of what happens when that changes: the old one has agreed before the new
// one is told.

/** A consumer of a group, AMQP's or the stream protocol's. */
export interface GroupMember {
  /** It is its turn. */
  activate(): void
  /** It is no longer; `done` when it has stopped. */
  deactivate(done: () => void): void
}

/**
 * The members of one group in the order in which they came. `partition` is the index of the stream in
 * its super stream: consumer number `partition mod n` is the active one, so that the partitions spread
 * over the consumers; -1 for a stream of its own, whose first consumer stays the active one.
 */
export class ActiveGroup {
  readonly members: GroupMember[]
  active: GroupMember | undefined
  private readonly partition: number
  /** The active one was told to stop and has not yet. */
  private changing: boolean

  constructor(partition: number) {
    this.members = []
    this.active = undefined
    this.partition = partition
    this.changing = false
  }

  add(member: GroupMember): void {
    this.members.push(member)
    this.choose()
  }

  /** The member is gone, whatever it was told. */
  remove(member: GroupMember): void {
    const at = this.members.indexOf(member)
    if (at < 0) return
    this.members.splice(at, 1)
    if (this.active === member) {
      this.active = undefined
      this.changing = false
    }
    this.choose()
  }

  private choose(): void {
    if (this.changing) return
    const index = this.partition < 0 ? 0 : this.partition % Math.max(1, this.members.length)
    const next = this.members[index]
    const { active } = this
    if (next === active) return
    if (active === undefined || next === undefined) {
      this.active = next
      next?.activate()
      return
    }
    if (this.partition < 0) return
    this.changing = true
    active.deactivate(() => {
      // It may have gone meanwhile, which has chosen already.
      if (!this.changing || this.active !== active) return
      this.changing = false
      this.active = undefined
      this.choose()
    })
  }
}
