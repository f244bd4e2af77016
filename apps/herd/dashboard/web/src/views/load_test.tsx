// A small load test: the request above, N times, C at once. A browser opens about six connections to one address, and
// one is this page's events, so C ends at five; more is a matter for a terminal.
import { useEffect, useRef, useState } from 'preact/hooks'
import { type Outgoing, send } from '../core/call.ts'
import { count, millis, none, rate } from '../core/format.ts'
import { mean, percentile } from '../core/numbers.ts'
import { Fact } from '../parts/basics.tsx'
import { Chart } from '../parts/chart.tsx'

interface Sample { total: number, first: number | null, tokens: number, node: string, failed: string }

const atOnceMax = 5
const manyMax = 500

function Results({ samples, seconds }: { samples: Sample[], seconds: number }) {
  const good = samples.filter((each) => each.failed === '')
  const totals = good.map((each) => each.total)
  const firsts = good.map((each) => each.first).filter((value): value is number => value !== null)
  const tokens = good.reduce((sum, each) => sum + each.tokens, 0)
  const byNode = new Map<string, number>()
  good.forEach((each) => byNode.set(each.node || none, (byNode.get(each.node || none) ?? 0) + 1))
  const failures = new Map<string, number>()
  samples.filter((each) => each.failed).forEach((each) => failures.set(each.failed, (failures.get(each.failed) ?? 0) + 1))
  return (
    <>
      <dl class="facts tight">
        <Fact label="Answered">{count(good.length)}{samples.length > good.length ? `, ${count(samples.length - good.length)} failed` : ''}</Fact>
        <Fact label="Requests a second">{seconds > 0 ? rate(good.length / seconds) : none}</Fact>
        <Fact label="Tokens a second">{seconds > 0 ? rate(tokens / seconds) : none}</Fact>
        <Fact label="First token, median">{millis(percentile(firsts, 0.5))}</Fact>
        <Fact label="First token, 95 %">{millis(percentile(firsts, 0.95))}</Fact>
        <Fact label="Total, mean">{millis(mean(totals))}</Fact>
        <Fact label="Total, median">{millis(percentile(totals, 0.5))}</Fact>
        <Fact label="Total, 95 %">{millis(percentile(totals, 0.95))}</Fact>
        <Fact label="Total, longest">{millis(percentile(totals, 1))}</Fact>
      </dl>
      <Chart label="Milliseconds by request" kind="points" numbers xLabel="Request" x={samples.map((_, i) => i + 1)} show={(value) => millis(value)} unit=" ms" height={200}
        series={[{ label: 'Total', values: samples.map((each) => (each.failed ? null : each.total)) }, { label: 'First token', values: samples.map((each) => (each.failed ? null : each.first)), colour: 1 }]} />
      <p class="quiet">{[...byNode].sort((a, b) => b[1] - a[1]).map(([node, n]) => `${node} ${n}`).join(' · ')}</p>
      {[...failures].map(([words, n]) => <p key={words} class="trouble">{n} × {words}</p>)}
    </>
  )
}

export function LoadTest({ out, ready }: { out: Outgoing, ready: boolean }) {
  const [many, setMany] = useState(20)
  const [atOnce, setAtOnce] = useState(4)
  const [samples, setSamples] = useState<Sample[]>([])
  const [seconds, setSeconds] = useState(0)
  const [running, setRunning] = useState<AbortController | null>(null)
  const stopNow = useRef<AbortController | null>(null)
  useEffect(() => () => stopNow.current?.abort(), [])

  const run = async (event: Event) => {
    event.preventDefault()
    const stop = new AbortController()
    stopNow.current = stop
    setRunning(stop)
    setSamples([])
    const begun = performance.now()
    const made: Sample[] = []
    let left = many
    const worker = async () => {
      while (left-- > 0 && !stop.signal.aborted) {
        const since = performance.now()
        try {
          const answer = await send(out, stop.signal, () => undefined)
          const failed = answer.status >= 400 || answer.error ? answer.error || `status ${answer.status}` : ''
          made.push({ total: answer.totalMs ?? 0, first: answer.firstMs, tokens: answer.outputTokens ?? answer.chunks, node: answer.headers.find(([name]) => name === 'x-herd-node')?.[1] ?? '', failed })
        } catch (error) {
          if (!stop.signal.aborted) {
            made.push({ total: performance.now() - since, first: null, tokens: 0, node: '', failed: error instanceof Error ? error.message : String(error) })
          }
        }
        setSamples([...made])
        setSeconds((performance.now() - begun) / 1000)
      }
    }
    await Promise.all(Array.from({ length: Math.min(atOnce, many) }, worker))
    setRunning(null)
  }
  const number = (text: string, max: number) => Math.min(max, Math.max(1, Math.floor(Number(text)) || 1))
  return (
    <div class="load-test">
      <form class="tools" onSubmit={run}>
        <label class="field">Requests<input type="number" min={1} max={manyMax} value={many} onChange={(event) => setMany(number(event.currentTarget.value, manyMax))} /></label>
        <label class="field" title="A browser opens about six connections to one address">At once<input type="number" min={1} max={atOnceMax} value={atOnce} onChange={(event) => setAtOnce(number(event.currentTarget.value, atOnceMax))} /></label>
        {running ? <button type="button" class="button main" onClick={() => running.abort()}>Stop</button> : <button class="button main" disabled={!ready}>Start</button>}
        <span class="quiet" role="status">{running ? `${samples.length} of ${many}` : samples.length ? `${samples.length} in ${seconds.toFixed(1)} s` : 'A browser can do five at once; use a terminal for more.'}</span>
      </form>
      {samples.length ? <Results samples={samples} seconds={seconds} /> : null}
    </div>
  )
}
