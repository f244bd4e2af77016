// herd's usage rows as series to draw: one point per bucket and name, gaps where nothing was.

export interface Percentiles { p50: number, p90: number, p99: number }

export interface UsageRow {
  bucket: string
  name: string
  requests: number
  errors: number
  disconnects: number
  retries: number
  cold_loads: number
  prompt_tokens: number
  cached_tokens: number
  output_tokens: number
  total_ms_mean: number
  ttft_ms: Percentiles | null
  tokens_per_s: Percentiles | null
}

export interface Usage { by: string, bucket_s: number, since: string, until: string, rows: UsageRow[], left_out?: number, note?: string }

export interface Sum { name: string, requests: number, errors: number, prompt: number, cached: number, output: number, meanMs: number, retries: number, coldLoads: number }

export const otherName = 'all others'
export const noName = 'none'

/** Totals per name, most requests first. */
export function sums(rows: UsageRow[]): Sum[] {
  const all = new Map<string, Sum>()
  for (const row of rows) {
    const sum = all.get(row.name) ?? { name: row.name, requests: 0, errors: 0, prompt: 0, cached: 0, output: 0, meanMs: 0, retries: 0, coldLoads: 0 }
    sum.meanMs = (sum.meanMs * sum.requests + row.total_ms_mean * row.requests) / Math.max(1, sum.requests + row.requests)
    sum.requests += row.requests
    sum.errors += row.errors
    sum.prompt += row.prompt_tokens
    sum.cached += row.cached_tokens
    sum.output += row.output_tokens
    sum.retries += row.retries
    sum.coldLoads += row.cold_loads
    all.set(row.name, sum)
  }
  return [...all.values()].sort((a, b) => b.requests - a.requests || a.name.localeCompare(b.name))
}

/** The starts of all buckets of the answer, in epoch seconds, those without a row too. */
export function buckets(usage: Usage): number[] {
  const step = Math.max(1, usage.bucket_s)
  const first = Math.floor(Date.parse(usage.since) / 1000 / step) * step
  const last = Math.floor((Date.parse(usage.until) - 1) / 1000 / step) * step
  const n = Math.min(5000, Math.max(0, Math.round((last - first) / step) + 1))
  return Array.from({ length: n }, (_, i) => first + i * step)
}

/** One series per name, the smaller ones as one when `fold` says that their values add up. */
export function seriesOf(usage: Usage, names: string[], pick: (row: UsageRow) => number | null, fold: boolean): { label: string, values: (number | null)[] }[] {
  const x = buckets(usage)
  const at = new Map(x.map((start, i) => [start, i]))
  const empty = () => x.map((): number | null => (fold ? 0 : null))
  const made = new Map(names.map((name) => [name, empty()]))
  let others: (number | null)[] | null = null
  for (const row of usage.rows) {
    const i = at.get(Math.round(Date.parse(row.bucket) / 1000))
    const value = pick(row)
    if (i === undefined || value === null) {
      continue
    }
    const own = made.get(row.name)
    if (own) {
      own[i] = fold ? (own[i] ?? 0) + value : value
    } else if (fold) {
      others ??= empty()
      others[i] = (others[i] ?? 0) + value
    }
  }
  const series = names.map((name) => ({ label: name || noName, values: made.get(name) ?? [] }))
  return others ? [...series, { label: otherName, values: others }] : series
}
