// The tables in LMDB, with files that are really damaged.

import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { findDamagedPages } from '../../../core/store/lmdb-pages.ts'
import { Metadata, MetadataError } from '../../../core/store/metadata.ts'
import { collectNodeRow, collectRows } from '../../../core/store/metadata-rows.ts'
import { RowBatch } from '../../../core/store/row-batch.ts'
import { Topology } from '../../../core/topology/topology.ts'

const folders: string[] = []

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'warren-metadata-'))
  folders.push(folder)
  return folder
}

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

function vhosts(from: number, to: number): Uint8Array {
  const batch = new RowBatch()
  for (let id = from; id < to; id++) {
    // Every hundredth is too long for a page.
    const description = id % 100 === 0 ? 'long '.repeat(2000) : `number ${id}`
    const facts = { name: `v${id}`, description, tags: [], defaultQueueType: undefined }
    collectRows(new Topology(), { change: 'vhostAdded', id, ...facts }, batch)
  }
  return batch.take()
}

/** A file with three levels of pages, pages of its own for long rows, and free pages. */
async function writtenFile(): Promise<{ folder: string; file: string }> {
  const folder = newFolder()
  const metadata = new Metadata(folder)
  metadata.write([vhosts(1, 2000), vhosts(2000, 3000)])
  for (let i = 0; i < 20; i++) metadata.write([vhosts(i * 10 + 1, i * 10 + 10)])
  await metadata.close()
  return { folder, file: join(folder, 'metadata', 'data.mdb') }
}

describe('metadata in LMDB', () => {
  test('is there again after it was closed, or never closed', async () => {
    const folder = newFolder()
    const first = new Metadata(folder)
    expect(first.load()).toMatchObject({ changes: [], provisioned: false, lastId: 0 })
    const batch = new RowBatch()
    collectNodeRow({ change: 'provisioned' }, batch)
    collectNodeRow({ change: 'lastId', id: 77 }, batch)
    first.write([vhosts(1, 3), batch.take()])
    await first.close()
    const second = new Metadata(folder)
    const { changes, ...rest } = second.load()
    expect(changes.map((change) => ('name' in change ? change.name : ''))).toEqual(['v1', 'v2'])
    expect(rest).toMatchObject({ provisioned: true, lastId: 77, damaged: [], dangling: [] })
    await second.close()
  })

  test('writes all batches of a transaction or none', async () => {
    const metadata = new Metadata(newFolder())
    const broken = new RowBatch()
    broken.put(new Uint8Array(5000), new Uint8Array(8))
    expect(() => metadata.write([vhosts(1, 3), broken.take()])).toThrow()
    expect(metadata.load().changes).toEqual([])
    metadata.write([vhosts(1, 3)])
    expect(metadata.load().changes).toHaveLength(2)
    await metadata.close()
  })

  test('a sound file has no damaged page', async () => {
    const { file } = await writtenFile()
    expect(findDamagedPages(file)).toEqual([])
  })

  test.each([
    ['is cut', (bytes: Buffer) => bytes.subarray(0, bytes.length / 2)],
    ['is cut inside of its first page', (bytes: Buffer) => bytes.subarray(0, 100)],
    ['is empty', () => Buffer.alloc(0)],
    ['is something else', () => Buffer.alloc(65536, 'text ')],
    ['is zeroed after its first pages', (bytes: Buffer) => bytes.fill(0, 8192)],
    ['has noise in it', (bytes: Buffer) => bytes.fill(0xa5, 8192)],
  ])('a file that %s is refused with a clear text and stays as it is', async (_, spoil) => {
    const { folder, file } = await writtenFile()
    writeFileSync(file, spoil(readFileSync(file)))
    const spoilt = readFileSync(file)
    expect(() => new Metadata(folder)).toThrow(MetadataError)
    expect(() => new Metadata(folder)).toThrow(/data\.mdb is damaged: /)
    expect(readFileSync(file).equals(spoilt)).toBe(true)
  })

  // LMDB itself would follow a damaged page number to wherever it leads.
  test('whatever byte is changed, it is found or every row can be read', async () => {
    const { folder, file } = await writtenFile()
    const sound = readFileSync(file)
    let found = 0
    for (let i = 0; i < 60; i++) {
      const at = 8192 + ((i * 7919 * 131) % (sound.length - 8192))
      const spoilt = Buffer.from(sound)
      spoilt[at] = (spoilt[at] ?? 0) ^ 0xff
      writeFileSync(file, spoilt)
      if (findDamagedPages(file).length > 0) {
        found++
        continue
      }
      const metadata = new Metadata(folder)
      const { changes, damaged } = metadata.load()
      expect(changes.length + damaged.length).toBe(2999)
      if (damaged.length > 0) found++
      await metadata.close()
    }
    expect(found).toBeGreaterThan(30)
  })

  test('a missing end of the file that holds only free pages is no damage', async () => {
    const { file } = await writtenFile()
    truncateSync(file, readFileSync(file).length)
    expect(findDamagedPages(file)).toEqual([])
  })
})
