// One request's time, cut into the parts a person can act on. From the record's figures alone: what the node did not
// tell is shown as waiting for its first token.
import type { RequestRecord } from './types.ts'

export type Part = 'queued' | 'retried' | 'connect' | 'load' | 'node' | 'prefill' | 'first' | 'generate' | 'rest'
export interface Segment { part: Part, from: number, ms: number }

export const partWords: Record<Part, string> = {
  queued: 'waited in herd’s queue', retried: 'attempts that failed', connect: 'connecting to the node', load: 'loading the model',
  node: 'waited inside of the node', prefill: 'reading the prompt', first: 'until the first byte', generate: 'writing the answer', rest: 'other'
}

/** Segments in order, each with where it begins; together they fill total_ms. */
export function segments(record: RequestRecord): Segment[] {
  const total = Math.max(0, record.total_ms ?? 0)
  const known = (value: number | null | undefined) => Math.max(0, value ?? 0)
  const attempts = record.attempts ?? []
  const failed = attempts.slice(0, -1).reduce((sum, attempt) => sum + known(attempt.ms), 0)
  const parts: [Part, number][] = [['queued', known(record.queue_ms)], ['retried', failed], ['connect', known(record.connect_ms)]]
  const begun = parts.reduce((sum, part) => sum + part[1], 0)
  const load = known(record.load_ms)
  const prefill = known(record.prompt_eval_ms)
  const firstByte = record.ttft_ms === null || record.ttft_ms === undefined || record.ttft_ms === 0 ? null : record.ttft_ms
  parts.push(['load', load])
  if (record.stream && firstByte !== null) {
    const rest = Math.max(0, firstByte - begun - load)
    parts.push(['node', prefill > 0 ? Math.max(0, rest - prefill) : 0], [prefill > 0 ? 'prefill' : 'first', prefill > 0 ? Math.min(prefill, rest) : rest])
    parts.push(['generate', Math.max(0, total - firstByte)])
  } else if (known(record.eval_ms) > 0) {
    const generate = known(record.eval_ms)
    const rest = Math.max(0, total - begun - load - prefill - generate)
    parts.push(['node', known(record.node_queue_ms)], ['prefill', prefill], ['generate', generate], ['rest', Math.max(0, rest - known(record.node_queue_ms))])
  } else {
    parts.push(['first', Math.max(0, (firstByte ?? total) - begun - load)], ['generate', firstByte === null ? 0 : Math.max(0, total - firstByte)])
  }
  const made: Segment[] = []
  let from = 0
  for (const [part, value] of parts) {
    const ms = Math.min(value, Math.max(0, total - from)) // clocks of two machines may disagree: never beyond the end
    if (ms >= 0.1) {
      made.push({ part, from, ms })
      from += ms
    }
  }
  return made
}

/** HAProxy's two letters in words: who ended it, in which phase. */
export function terminationWords(code: string | null | undefined): string {
  if (!code || code === '--') {
    return 'ended properly'
  }
  const who: Record<string, string> = { '-': 'ended', C: 'the client left', N: 'the node broke off', P: 'refused by herd', T: 'a deadline passed' }
  const when: Record<string, string> = { R: 'while the request was read', Q: 'in the queue', S: 'while a node was chosen', C: 'while connecting', H: 'before the answer began', D: 'during the answer', '-': '' }
  return [who[code[0] ?? ''] ?? code, when[code[1] ?? ''] ?? ''].filter((part) => part).join(' ')
}
