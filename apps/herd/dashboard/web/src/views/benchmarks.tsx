// Measures the fleet: starts a benchmark, follows it, and shows what came of those that are kept.
import { useEffect, useRef, useState } from 'preact/hooks'
import { ApiError, ask } from '../core/api.ts'
import { type Benchmark, type BenchmarkProgress, type BenchmarkStatus, isRunning, type ModelType, modelTypes, shareDone, startBody, type Wish } from '../core/benchmarks.ts'
import { count, dateAndTime, millis, plural, rate, span } from '../core/format.ts'
import { usePolled } from '../core/poll.ts'
import { href } from '../core/router.ts'
import { Choice, Loading, Mark, Meter, Notice, type Tone, TroubleNotice } from '../parts/basics.tsx'
import { BenchmarkRun } from './benchmark_run.tsx'

const api = '/dashboard/api/benchmarks'
const durations: readonly (readonly [string, string])[] = [['30', '30 s'], ['60', '1 min'], ['300', '5 min'], ['900', '15 min']]
const tones: Record<BenchmarkStatus, Tone> = { idle: 'none', pulling: 'info', warming_up: 'info', running: 'info', complete: 'good', error: 'bad', cancelled: 'hold' }
const words: Record<BenchmarkStatus, string> = { idle: 'nothing runs', pulling: 'pulling', warming_up: 'warming up', running: 'running', complete: 'complete', error: 'failed', cancelled: 'cancelled' }
const troubleOf = (error: unknown) => (error instanceof ApiError ? error.message : String(error))

function StartForm({ again }: { again: () => void }) {
  const [wish, setWish] = useState<Wish>({ mode: 'default', duration: 60, types: modelTypes.map(([type]) => type), models: '', pull: false })
  const [trouble, setTrouble] = useState('')
  const toggle = (type: ModelType) => setWish({ ...wish, types: wish.types.includes(type) ? wish.types.filter((each) => each !== type) : [...wish.types, type] })
  const start = async (event: Event) => {
    event.preventDefault()
    setTrouble('')
    try {
      await ask(`${api}/start`, { method: 'POST', body: startBody(wish) })
    } catch (error) {
      setTrouble(troubleOf(error))
    }
    again()
  }
  const names = wish.models.trim() !== ''
  return (
    <form class="benchmark-form" onSubmit={start}>
      <div class="tools">
        <Choice label="What is measured" value={wish.mode} options={[['default', 'What is in memory'], ['smart', 'And what fits beside it']]} onChange={(mode) => setWish({ ...wish, mode })} />
        <Choice label="How long" value={String(wish.duration)} options={durations} onChange={(text) => setWish({ ...wish, duration: Number(text) })} />
      </div>
      <div class="tools" role="group" aria-label="Kinds of models">
        {modelTypes.map(([type, label]) => <label key={type} class="check"><input type="checkbox" checked={wish.types.includes(type)} onChange={() => toggle(type)} />{label}</label>)}
      </div>
      <div class="tools">
        <label class="field grow">Only these models<input type="text" value={wish.models} placeholder="llama3.2:3b, qwen3:4b" spellcheck={false} onInput={(event) => setWish({ ...wish, models: event.currentTarget.value })} /></label>
        {wish.mode === 'smart' && names ? <label class="check"><input type="checkbox" checked={wish.pull} onChange={() => setWish({ ...wish, pull: !wish.pull })} />Pull those that no node has</label> : null}
        <button class="button main" disabled={wish.types.length === 0}>Start</button>
      </div>
      {trouble ? <p class="trouble" role="alert">{trouble}</p> : <p class="quiet">The fleet is busy with it for that long; requests of people share the nodes with it fairly.</p>}
    </form>
  )
}

function Following({ now, again }: { now: BenchmarkProgress, again: () => void }) {
  const [trouble, setTrouble] = useState('')
  const cancel = async () => {
    setTrouble('')
    try {
      await ask(`${api}/cancel`, { method: 'POST' })
    } catch (error) {
      setTrouble(troubleOf(error))
    }
    again()
  }
  const share = shareDone(now)
  const text = now.status === 'running' ? `${span(now.elapsed)} of ${span(now.duration)}` : share === null ? '' : `${Math.round(share * 100)} %`
  return (
    <>
      <p class="cell-name" role="status"><Mark tone={tones[now.status]} />{now.phase}</p>
      {share === null ? null : <Meter label={now.status === 'running' ? 'Time' : 'Pulled'} value={share} text={text} />}
      <p class="quiet">{plural(now.requests_completed, 'answer')}{now.requests_failed ? `, ${count(now.requests_failed)} failed` : ''} · {rate(now.tok_per_sec)} tokens a second{now.models.length ? ` · ${now.models.join(', ')}` : ''}</p>
      <div class="tools"><button class="button" onClick={cancel}>Cancel</button>{trouble ? <span class="act-trouble" role="alert">{trouble}</span> : null}</div>
    </>
  )
}

function Runs({ runs }: { runs: Benchmark[] }) {
  return (
    <div class="scroll-x"><table class="plain-table"><thead><tr><th>Started</th><th>How</th><th>Version</th><th class="right">Load</th><th class="right">Answers</th><th class="right">Failed</th><th class="right">Tokens a second</th><th class="right">First token</th><th class="right">Whole answer</th></tr></thead>
      <tbody>{runs.map((run) => <tr key={run.run_id}><td><a href={href('benchmarks', run.run_id)}>{dateAndTime(run.timestamp * 1000)}</a></td><td><span class="cell-name"><Mark tone={tones[run.status] ?? 'none'} />{words[run.status] ?? run.status}</span></td><td>{run.version}</td>
        <td class="right">{span(run.duration_s)}</td><td class="right">{count(run.total_requests)}</td><td class="right">{count(run.total_failures)}</td><td class="right">{rate(run.tokens_per_sec)}</td>
        <td class="right">{millis(run.ttft_p50_ms)}</td><td class="right">{millis(run.latency_p50_ms)}</td></tr>)}</tbody></table></div>
  )
}

export function BenchmarksView() {
  const [quick, setQuick] = useState(false)
  const progress = usePolled<BenchmarkProgress>(`${api}/progress`, quick ? 1000 : 4000)
  const list = usePolled<{ data: Benchmark[] }>(api, 15_000)
  const now = progress.data
  const running = now !== null && isRunning(now.status)
  const before = useRef(running)
  useEffect(() => {
    setQuick(running)
    if (before.current && !running) {
      list.again()
    }
    before.current = running
  }, [running])
  const trouble = progress.error ?? list.error
  if (!now) {
    return trouble ? <TroubleNotice error={trouble} what="benchmarks" again={progress.again} /> : <Loading what="benchmarks" />
  }
  const runs = list.data?.data ?? []
  return (
    <>
      <h1 class="sr">Benchmarks</h1>
      {now.status === 'error' ? <Notice tone="bad" title="The last benchmark failed.">{now.error}</Notice> : null}
      <section class="panel" aria-label={running ? 'The benchmark that runs' : 'Start a benchmark'}><h2>{running ? 'A benchmark runs' : 'Measure the fleet'}</h2>
        {running ? <Following now={now} again={progress.again} /> : <StartForm again={progress.again} />}</section>
      <section class="panel" aria-label="Benchmarks that were made"><h2>Kept <small>{plural(runs.length, 'run')}</small></h2>
        {runs.length ? <Runs runs={runs} /> : <p class="quiet">None was made yet. The newest fifty are kept.</p>}</section>
    </>
  )
}

export function BenchmarkView({ id }: { id: string }) {
  const { data, error, again } = usePolled<Benchmark>(`${api}/${encodeURIComponent(id)}`, 0)
  if (!data) {
    return error?.status === 404 ? <Notice title="There is no such benchmark." action={<a class="button" href={href('benchmarks')}>To those that are kept</a>}>{error.message}</Notice>
      : error ? <TroubleNotice error={error} what="the benchmark" again={again} /> : <Loading what="the benchmark" />
  }
  return <BenchmarkRun run={data} tone={tones[data.status] ?? 'none'} words={words[data.status] ?? data.status} />
}
