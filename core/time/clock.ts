// What time it is for a shard, as its caller says at the beginning of each turn.
//
// Deadlines in memory are monotonic: a jump of the wall clock moves none of them. What is written to
// disk are wall-clock times, as the wall clock stood when they were written; only a restart goes by
// them. So after a jump, what is in memory ends when it would have, and what a restart reads back ends
// by the wall clock that the restart finds.

export class ShardClock {
  /** Milliseconds of a clock that never goes back; its zero means nothing. */
  now: number
  /** Milliseconds since 1970. */
  wall: number

  constructor() {
    this.now = 0
    this.wall = 0
  }

  /** A turn begins. A `now` that has gone back is taken for the same moment. */
  set(now: number, wall: number): void {
    if (now > this.now) this.now = now
    this.wall = wall
  }

  /** The wall-clock time of the monotonic time `at`, whole milliseconds, for what goes to disk. */
  toWall(at: number): number {
    return Math.round(this.wall + (at - this.now))
  }

  /** The monotonic time of a wall-clock time that was read from disk. */
  fromWall(wallAt: number): number {
    return this.now + (wallAt - this.wall)
  }
}
