// How much, how fast, by whom, over time.
import { useEffect, useMemo, useState } from 'preact/hooks'
import { stored, useCell } from '../core/cell.ts'
import { count, millis, rate } from '../core/format.ts'
import { usePolled } from '../core/poll.ts'
import { href, place } from '../core/router.ts'
import { buckets, noName, seriesOf, type Sum, sums, type Usage } from '../core/usage.ts'
import { Choice, Loading, Notice, TroubleNotice } from '../parts/basics.tsx'
import { Chart } from '../parts/chart.tsx'
import { type Column, Table } from '../parts/table.tsx'

type By = 'model' | 'node' | 'tag' | 'key' | 'client'
type Range = '1h' | '24h' | '7d' | '30d'
type Share = 'p50' | 'p90' | 'p99'

const isBy = (value: unknown): value is By => ['model', 'node', 'tag', 'key', 'client'].includes(value as string)
const by = stored<By>('usage.by', 'model', isBy)
const range = stored<Range>('usage.range', '24h', (value) => ['1h', '24h', '7d', '30d'].includes(value as string))
/** Seconds: of all, of a bucket, and between two questions, since long spans are much to sum and change little. */
const spans: Record<Range, [number, number, number]> = { '1h': [3600, 60, 10], '24h': [86_400, 900, 30], '7d': [604_800, 7200, 120], '30d': [2_592_000, 43_200, 300] }
const topMax = 7

function columnsFor(kind: By): Column<Sum>[] {
  const link = (sum: Sum) => (kind === 'model' || kind === 'node' || kind === 'tag' ? <a href={href('requests', '', { [kind]: sum.name })}>{sum.name || noName}</a> : sum.name || noName)
  return [
    { key: 'name', label: kind[0]?.toUpperCase() + kind.slice(1), width: 'minmax(8rem,2fr)', narrow: 'minmax(4rem,1fr)', show: link, sort: (sum) => sum.name },
    { key: 'requests', label: 'Requests', width: '6rem', narrow: '4.800rem', right: true, show: (sum) => count(sum.requests), sort: (sum) => sum.requests },
    { key: 'errors', label: 'Failed', width: '5.500rem', right: true, from: 420, show: (sum) => (sum.errors ? `${count(sum.errors)} (${((100 * sum.errors) / sum.requests).toFixed(1)} %)` : '0'), sort: (sum) => sum.errors },
    { key: 'prompt', label: 'Prompt tokens', width: '7.500rem', right: true, from: 560, show: (sum) => count(sum.prompt), sort: (sum) => sum.prompt },
    { key: 'cached', label: 'Cached', width: '6rem', right: true, from: 820, show: (sum) => count(sum.cached), sort: (sum) => sum.cached },
    { key: 'output', label: 'Answer tokens', width: '7.500rem', narrow: '7rem', right: true, show: (sum) => count(sum.output), sort: (sum) => sum.output },
    { key: 'mean', label: 'Mean time', width: '6rem', right: true, from: 640, show: (sum) => millis(sum.meanMs), sort: (sum) => sum.meanMs },
    { key: 'loads', label: 'Loads', width: '5rem', right: true, from: 900, show: (sum) => count(sum.coldLoads), sort: (sum) => sum.coldLoads },
    { key: 'retries', label: 'Retries', width: '5rem', right: true, from: 980, show: (sum) => count(sum.retries), sort: (sum) => sum.retries }
  ]
}

export function UsageView() {
  const { query } = useCell(place)
  const named = query.get('by')
  useEffect(() => { if (isBy(named)) { by.set(named) } }, [named])
  const kind = useCell(by)
  const length = useCell(range)
  const [share, setShare] = useState<Share>('p50')
  const [, redraw] = useState(0)
  const [seconds, step, every] = spans[length]
  useEffect(() => { const timer = setInterval(() => redraw((n) => n + 1), 30_000); return () => clearInterval(timer) }, [])
  // The start moves with the buckets only, so that the same question is asked again, not a new one each second.
  const since = new Date((Math.floor(Date.now() / 1000 / step) * step - seconds) * 1000).toISOString()
  const { data, error, again } = usePolled<Usage>(`/herd/v1/usage?by=${kind}&bucket=${step}s&since=${since}`, every * 1000)
  const drawn = useMemo(() => {
    if (!data) {
      return null
    }
    const all = sums(data.rows)
    const names = all.slice(0, topMax).map((sum) => sum.name)
    const x = buckets(data)
    return {
      all, x,
      requests: seriesOf(data, names, (row) => row.requests, true),
      tokens: seriesOf(data, names, (row) => row.output_tokens, true),
      prompt: seriesOf(data, names, (row) => row.prompt_tokens, true),
      errors: seriesOf(data, names, (row) => row.errors, true),
      first: seriesOf(data, names.slice(0, 5), (row) => row.ttft_ms?.[share] ?? null, false),
      speed: seriesOf(data, names.slice(0, 5), (row) => row.tokens_per_s?.[share] ?? null, false)
    }
  }, [data, share])
  const columns = useMemo(() => columnsFor(kind), [kind])
  const percentile = <Choice<Share> label="Percentile" value={share} options={[['p50', 'Median'], ['p90', '90 %'], ['p99', '99 %']]} onChange={setShare} />
  const short = (value: number) => count(value)
  return (
    <>
      <h1 class="sr">Usage</h1>
      <div class="tools">
        <Choice<By> label="By" value={kind} options={[['model', 'Model'], ['node', 'Node'], ['tag', 'Tag'], ['key', 'Key'], ['client', 'Client']]} onChange={(value) => by.set(value)} />
        <Choice<Range> label="Time" value={length} options={[['1h', 'Hour'], ['24h', 'Day'], ['7d', 'Week'], ['30d', 'Month']]} onChange={(value) => range.set(value)} />
        <span class="grow quiet">{data?.note ?? ''}{error && data ? `Not current: ${error.message}` : ''}</span>{percentile}
      </div>
      {!drawn ? (error ? <TroubleNotice error={error} what="usage over time" again={again} /> : <Loading what="usage" />)
        : drawn.all.length === 0 ? <Notice title={`No request in the last ${{ '1h': 'hour', '24h': 'day', '7d': 'week', '30d': 'month' }[length]}.`}>{kind === 'tag' ? 'Requests carry tags by the header X-Herd-Tags, or by metadata in their body.' : kind === 'key' ? 'Only requests with a key count here.' : ''}</Notice>
          : <>
            <div class="grid-2">
              <section class="panel"><h2>Requests</h2><Chart label="Requests over time" kind="bars" stacked whole x={drawn.x} series={drawn.requests} show={short} /></section>
              <section class="panel"><h2>Tokens answered</h2><Chart label="Answer tokens over time" kind="bars" stacked whole x={drawn.x} series={drawn.tokens} show={short} /></section>
              <section class="panel"><h2>Time to the first byte</h2><Chart label="Time to the first byte" x={drawn.x} series={drawn.first} show={millis} unit=" ms" /></section>
              <section class="panel"><h2>Tokens a second, each request</h2><Chart label="Tokens a second" x={drawn.x} series={drawn.speed} show={rate} unit="" /></section>
              <section class="panel"><h2>Prompt tokens</h2><Chart label="Prompt tokens over time" kind="bars" stacked whole x={drawn.x} series={drawn.prompt} show={short} /></section>
              <section class="panel"><h2>Failed</h2>{drawn.all.some((sum) => sum.errors > 0) ? <Chart label="Failed requests over time" kind="bars" stacked whole x={drawn.x} series={drawn.errors} show={short} /> : <p class="quiet roomy">None failed.</p>}</section>
            </div>
            <Table label={`Totals by ${kind}`} columns={columns} rows={drawn.all} id={(sum) => sum.name} sorted={{ key: 'requests', down: true }} footer={data?.left_out ? `${count(data.left_out)} requests are not in these figures: too many names at once.` : undefined} />
          </>}
    </>
  )
}
