// Files of streams, for sessions that send them as they are.

import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs'
import type { LogFiles } from '../../shared/stream/log-cursor.ts'

export const logFiles: LogFiles = {
  list: (folder) => readdirSync(folder),
  open: (path) => openSync(path, 'r'),
  close: closeSync,
  size: (fd) => fstatSync(fd).size,
  read: (fd, bytes, at, size, position) => {
    let done = 0
    while (done < size) {
      const got = readSync(fd, bytes, at + done, size - done, position + done)
      if (got === 0) break
      done += got
    }
    return done
  },
}
