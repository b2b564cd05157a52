// The route cache: exact by scope and bytes, valid for one version of the topology, never full.

import { describe, expect, test } from 'vitest'
import type { ResolvedRoute } from '../../../core/shard/route-cache.ts'
import { newResolvedRoute, RouteCache, sameKey } from '../../../core/shard/route-cache.ts'

const version = 7

/** A cache that is asked by text; the text lies in the middle of other bytes. */
class TextCache {
  private readonly cache = new RouteCache()

  find(scope: number, text: string, at = version): ResolvedRoute | undefined {
    const bytes = Buffer.from(`??${text}??`)
    return this.cache.find(at, scope, bytes, 2, bytes.length - 4)
  }

  /** As the publisher does: looks first, then adds. */
  learn(scope: number, text: string, at = version): ResolvedRoute {
    const found = this.find(scope, text, at)
    if (found !== undefined) return found
    const route = newResolvedRoute(at)
    const bytes = Buffer.from(`?${text}`)
    this.cache.add(scope, bytes, 1, bytes.length - 1, route)
    return route
  }
}

describe('the route cache', () => {
  test('gives a route back for the same scope and bytes only', () => {
    const cache = new TextCache()
    const route = cache.learn(1, 'key')
    expect(cache.find(1, 'key')).toBe(route)
    for (const other of ['ke', 'key ', 'kex', ''])
      expect(cache.find(1, other), other).toBeUndefined()
    expect(cache.find(2, 'key')).toBeUndefined()
    expect(cache.learn(2, 'key')).not.toBe(route)
    const empty = cache.learn(1, '')
    expect([cache.find(1, 'key'), cache.find(1, '')]).toEqual([route, empty])
  })

  test('keeps a copy of the key, since slabs are written again', () => {
    const cache = new RouteCache()
    const bytes = Buffer.from('key')
    cache.find(version, 1, bytes, 0, 3)
    const route = newResolvedRoute(version)
    cache.add(1, bytes, 0, 3, route)
    bytes.write('yek')
    expect(cache.find(version, 1, bytes, 0, 3)).toBeUndefined()
    expect(cache.find(version, 1, Buffer.from('key'), 0, 3)).toBe(route)
  })

  test('forgets all when the topology changes, in either direction', () => {
    const cache = new TextCache()
    const old = cache.learn(1, 'key')
    expect(cache.find(1, 'key', version + 1)).toBeUndefined()
    expect(cache.find(1, 'key')).toBeUndefined()
    const fresh = cache.learn(1, 'key')
    expect(fresh).not.toBe(old)
    expect(cache.find(1, 'key')).toBe(fresh)
  })

  test('takes any number of keys: a full one starts anew and stays right', () => {
    const cache = new TextCache()
    const routes = new Map<string, ResolvedRoute>()
    const count = 40_000
    for (let i = 0; i < count; i++) routes.set(`key ${i}`, cache.learn(i % 3, `key ${i}`))
    let kept = 0
    let wrong = 0
    for (let i = 0; i < count; i++) {
      const found = cache.find(i % 3, `key ${i}`)
      if (found === undefined) continue
      kept++
      if (found !== routes.get(`key ${i}`)) wrong++
    }
    expect(wrong).toBe(0)
    // It holds 32768 at most, so it was emptied once; what came after that is there.
    expect(kept).toBe(count - 32_768)
  })
})

test('keys are the same when their sizes and all their bytes are', () => {
  const key = Buffer.from('abcd')
  const bytes = Buffer.from('xabcdx')
  expect(sameKey(key, 4, bytes, 1, 4)).toBe(true)
  expect(sameKey(key, 3, bytes, 1, 3)).toBe(true)
  expect(sameKey(key, 4, bytes, 1, 3)).toBe(false)
  expect(sameKey(key, 4, bytes, 0, 4)).toBe(false)
  expect(sameKey(key, 0, bytes, 5, 0)).toBe(true)
  expect(sameKey(key, -1, bytes, 5, 0)).toBe(false)
})
