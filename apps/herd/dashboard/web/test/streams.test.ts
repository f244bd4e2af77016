import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EventParser, LineParser } from '../src/core/sse.ts'

test('events come out whole however the bytes are cut', () => {
  const stream = ': hello\r\nid: 7\r\nevent: node\r\ndata: {"a":1}\r\ndata: second\r\n\r\nretry: 1500\n\ndata:x\n\n'
  for (let size = 1; size <= stream.length; ++size) {
    const parser = new EventParser()
    const events = []
    for (let at = 0; at < stream.length; at += size) {
      events.push(...parser.feed(stream.slice(at, at + size)))
    }
    assert.deepEqual(events, [{ event: 'node', data: '{"a":1}\nsecond', id: '7' }, { event: 'message', data: 'x', id: '7' }], `pieces of ${size}`)
    assert.equal(parser.retry, 1500)
  }
})

test('an event without data is none, and an unfinished one waits', () => {
  const parser = new EventParser()
  assert.deepEqual(parser.feed('event: status\n\ndata: half'), [])
  assert.deepEqual(parser.feed(' done\n\n'), [{ event: 'message', data: 'half done', id: '' }])
})

test('lines come out whole, the last without its end too', () => {
  const lines = new LineParser()
  assert.deepEqual(lines.feed('{"a":1}\n{"b"'), ['{"a":1}'])
  assert.deepEqual(lines.feed(':2}\n\n'), ['{"b":2}'])
  assert.deepEqual(lines.feed('{"c":3}'), [])
  assert.deepEqual(lines.end(), ['{"c":3}'])
  assert.deepEqual(lines.end(), [])
})
