import assert from 'node:assert/strict'
import { test } from 'node:test'
import { csv, csvCell } from '../src/core/csv.ts'
import { fitOf } from '../src/core/fit.ts'
import { bytes, count, marks, millis, rate, span, untilUnload } from '../src/core/format.ts'
import { mergeHealth, mergeRecords } from '../src/core/live.ts'
import { percentile } from '../src/core/numbers.ts'
import { parsePlace } from '../src/core/router.ts'
import { segments, terminationWords } from '../src/core/timeline.ts'
import type { Node, RequestRecord } from '../src/core/types.ts'
import { sparkPaths } from '../src/parts/basics.tsx'
import { buckets, seriesOf, sums, type Usage } from '../src/core/usage.ts'

const record = (more: Partial<RequestRecord>): RequestRecord => ({ id: 'r', at: '2026-01-01T00:00:00Z', status: 200, ...more })

test('the parts of a request fill its time and never overrun it', () => {
  const streamed = segments(record({ stream: true, queue_ms: 100, connect_ms: 1, load_ms: 500, ttft_ms: 800, total_ms: 2000, prompt_eval_ms: 150 }))
  assert.deepEqual(streamed.map((each) => [each.part, each.ms]), [['queued', 100], ['connect', 1], ['load', 500], ['node', 49], ['prefill', 150], ['generate', 1200]])
  const odd = segments(record({ stream: true, queue_ms: 900, load_ms: 5000, ttft_ms: 950, total_ms: 1000 }))
  assert.equal(odd.reduce((sum, each) => sum + each.ms, 0), 1000)
  const whole = segments(record({ stream: false, queue_ms: 10, prompt_eval_ms: 40, eval_ms: 900, ttft_ms: 1000, total_ms: 1000 }))
  assert.deepEqual(whole.map((each) => each.part), ['queued', 'prefill', 'generate', 'rest'])
  const retried = segments(record({ stream: true, attempts: [{ node: 'a', outcome: 'refused', ms: 300 }, { node: 'b', outcome: 'served', ms: 700 }], ttft_ms: 500, total_ms: 1000 }))
  assert.deepEqual(retried.map((each) => [each.part, each.ms]), [['retried', 300], ['first', 200], ['generate', 500]])
  assert.deepEqual(segments(record({ total_ms: 0 })), [])
})

test('termination codes are words', () => {
  assert.equal(terminationWords('--'), 'ended properly')
  assert.equal(terminationWords('ND'), 'the node broke off during the answer')
  assert.equal(terminationWords('CQ'), 'the client left in the queue')
})

test('records are newest first and stand once', () => {
  const merged = mergeRecords([record({ id: 'a', at: '2026-01-01T00:00:01Z' }), record({ id: 'b', at: '2026-01-01T00:00:02Z', status: null })],
    [record({ id: 'b', at: '2026-01-01T00:00:02Z' }), record({ id: 'c', at: '2026-01-01T00:00:03Z' })], 10)
  assert.deepEqual(merged.map((each) => [each.id, each.status]), [['c', 200], ['b', 200], ['a', 200]])
  assert.equal(mergeRecords(merged, [], 2).length, 2)
})

test('an event of health leaves unnamed checks fine', () => {
  const merged = mergeHealth({ score: 60, checks: [{ id: 'a', severity: 'critical', summary: 'x' }, { id: 'b', severity: 'ok', summary: '' }] }, { score: 100, checks: [] })
  assert.deepEqual(merged.checks.map((check) => check.severity), ['ok', 'ok'])
})

test('usage becomes series with gaps, small names folded into one', () => {
  const row = (bucket: string, name: string, requests: number) => ({ bucket, name, requests, errors: 0, disconnects: 0, retries: 0, cold_loads: 0, prompt_tokens: 1, cached_tokens: 0, output_tokens: 2, total_ms_mean: 10 * requests, ttft_ms: null, tokens_per_s: { p50: 5, p90: 6, p99: 7 } })
  const usage: Usage = { by: 'model', bucket_s: 60, since: '2026-01-01T00:00:30Z', until: '2026-01-01T00:03:00Z', rows: [row('2026-01-01T00:00:00Z', 'm', 3), row('2026-01-01T00:02:00Z', 'm', 1), row('2026-01-01T00:01:00Z', 'n', 2)] }
  assert.equal(buckets(usage).length, 3)
  assert.deepEqual(sums(usage.rows).map((sum) => [sum.name, sum.requests, sum.meanMs]), [['m', 4, 25], ['n', 2, 20]])
  assert.deepEqual(seriesOf(usage, ['m'], (each) => each.requests, true).map((each) => [each.label, each.values]), [['m', [3, 0, 1]], ['all others', [0, 2, 0]]])
  assert.deepEqual(seriesOf(usage, ['m'], (each) => each.tokens_per_s?.p50 ?? null, false)[0]?.values, [5, null, 5])
})

test('numbers as people read them', () => {
  assert.deepEqual([bytes(0), bytes(1536), bytes(25_276_973_056), bytes(null)], ['0 B', '1.50 KiB', '23.5 GiB', '–'])
  assert.deepEqual([millis(0.42), millis(83.2), millis(1234.5), millis(200_000)], ['0.4 ms', '83 ms', '1.23 s', '3 min 20 s'])
  assert.deepEqual([span(59), span(3600), span(97_200)], ['59 s', '1 h', '1 d 3 h'])
  assert.deepEqual([count(9999), count(12_345), count(2_500_000)], ['9999', '12.3 k', '2.5 M'])
  assert.equal(untilUnload('2026-01-01T00:05:00Z', Date.parse('2026-01-01T00:00:30Z')), '4 min 30 s')
  assert.equal(untilUnload('2318-01-01T00:00:00Z', Date.parse('2026-01-01T00:00:00Z')), 'stays')
  assert.deepEqual([percentile([], 0.5), percentile([3, 1, 2], 0.5), percentile([3, 1, 2], 1)], [null, 2, 3])
})

test('the marks of an axis differ, also where they are tiny', () => {
  assert.deepEqual(marks([0, 0.01, 0.02, 0.03], millis, ' ms'), ['0 ms', '0.01 ms', '0.02 ms', '0.03 ms'])
  assert.deepEqual(marks([0, 0.0025, 0.005, 0.0075], millis, ' ms'), ['0 ms', '0.0025 ms', '0.0050 ms', '0.0075 ms'])
  assert.deepEqual(marks([0, 0.05, 0.1, 0.15], millis, ' ms'), ['0 ms', '0.05 ms', '0.10 ms', '0.15 ms'])
  assert.deepEqual(marks([0, 0.02, 0.04], rate, ''), ['0', '0.02', '0.04'])
  assert.deepEqual(marks([0, 500, 1000, 1500], millis, ' ms'), ['0 ms', '500 ms', '1.00 s', '1.50 s'])
  assert.deepEqual([marks([], millis, ' ms'), marks([0], millis, ' ms')], [[], ['0 ms']])
})

test('addresses lead to views, those of Ollama Herd too', () => {
  assert.deepEqual([parsePlace('/dashboard', '').view, parsePlace('/', '').view], ['', ''])
  assert.deepEqual([parsePlace('/dashboard/trends', '').view, parsePlace('/dashboard/apps', '').view], ['usage', 'usage'])
  const model = parsePlace('/dashboard/models/hf.co%2Fa%2Fb%3Ac', '?x=1')
  assert.deepEqual([model.view, model.id, model.query.get('x')], ['models', 'hf.co/a/b:c', '1'])
  assert.equal(parsePlace('/dashboard/models/%zz', '').id, '%zz')
})

test('what fits where is judged by size', () => {
  const gib = 1024 ** 3
  const node = (more: Partial<Node>): Node => ({ id: 'n', name: 'n', state: 'online', ...more })
  const gpu = { gpus: [{ name: 'g', vram_total_bytes: 24 * gib, vram_free_bytes: 10 * gib }], memory: { total_bytes: 32 * gib, available_bytes: 20 * gib } }
  assert.equal(fitOf(node({ ...gpu, loaded: [{ name: 'm' }] }), 'm', 99 * gib), 'loaded')
  assert.deepEqual([5, 15, 30, 90].map((size) => fitOf(node(gpu), 'm', size * gib)), ['gpu', 'gpu-after', 'ram', 'no'])
  assert.equal(fitOf(node({}), 'm', gib), 'unknown')
})

test('a sparkline keeps its gaps', () => {
  const { line, area } = sparkPaths([Number.NaN, 0, 1, Number.NaN, 2], 4, 10, 2)
  assert.equal(line, 'M1.0 9.0L2.0 5.0M4.0 1.0')
  assert.equal(area, 'M1.0 9.0L2.0 5.0L2.0 10L1.0 10ZM4.0 1.0L4.0 10L4.0 10Z')
  assert.deepEqual(sparkPaths([], 4, 10, 2), { line: '', area: '' })
})

test('records become CSV that no spreadsheet runs', () => {
  assert.deepEqual([csvCell('a,b'), csvCell('say "x"'), csvCell('=1+1'), csvCell(-3), csvCell(null), csvCell(['a', 'b'])], ['"a,b"', '"say ""x"""', "'=1+1", '-3', '', 'a b'])
  assert.equal(csv([record({ id: 'x', model: 'm' })]).split('\r\n').length, 3)
})
