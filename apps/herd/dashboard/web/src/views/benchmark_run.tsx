// What came of one benchmark, in tables.
import type { ComponentChildren } from 'preact'
import type { Benchmark } from '../core/benchmarks.ts'
import { bytes, count, dateAndTime, millis, none, rate, span } from '../core/format.ts'
import { href } from '../core/router.ts'
import { Fact, Mark, type Tone } from '../parts/basics.tsx'

interface Cell { show: ComponentChildren, right?: boolean }
const text = (show: ComponentChildren): Cell => ({ show })
const figure = (show: ComponentChildren): Cell => ({ show, right: true })

function Rows({ title, heads, rows }: { title: string, heads: string[], rows: Cell[][] }) {
  if (rows.length === 0) {
    return null
  }
  const right = (i: number) => (rows[0]?.[i]?.right ? 'right' : undefined)
  return (
    <section class="panel" aria-label={title}><h2>{title}</h2>
      <div class="scroll-x"><table class="plain-table"><thead><tr>{heads.map((head, i) => <th key={head} class={right(i)}>{head}</th>)}</tr></thead>
        <tbody>{rows.map((row, n) => <tr key={n}>{row.map((cell, i) => <td key={i} class={cell.right ? 'right' : undefined}>{cell.show}</td>)}</tr>)}</tbody></table></div>
    </section>
  )
}

const percent = (value: number | null) => value === null ? none : `${Math.round(value)} %`
const toNode = (name: string) => text(name ? <a href={href('nodes', name)}>{name}</a> : none)

export function BenchmarkRun({ run, tone, words }: { run: Benchmark, tone: Tone, words: string }) {
  const times: [string, number, number, number][] = [
    ['Whole answer', run.latency_p50_ms, run.latency_p95_ms, run.latency_p99_ms], ['First token', run.ttft_p50_ms, run.ttft_p95_ms, run.ttft_p99_ms],
    ['Between tokens', run.inter_token_p50_ms, run.inter_token_p95_ms, run.inter_token_p99_ms]
  ]
  return (
    <>
      <p><a href={href('benchmarks')}>All benchmarks</a></p>
      <h1>{dateAndTime(run.timestamp * 1000)} <span class={`badge ${tone}`}><Mark tone={tone} />{words}</span></h1>
      <section class="panel" aria-label="In all"><h2>In all</h2>
        <dl class="facts">
          <Fact label="Tokens a second">{rate(run.tokens_per_sec)}</Fact><Fact label="Requests a second">{rate(run.requests_per_sec)}</Fact>
          <Fact label="Answered">{count(run.total_requests)}</Fact><Fact label="Failed">{count(run.total_failures)}</Fact>
          <Fact label="Tokens of answers">{count(run.total_completion_tokens)}</Fact><Fact label="Tokens of prompts">{count(run.total_prompt_tokens)}</Fact>
          <Fact label="Loads" title="Answers that waited more than a second for their model to be loaded">{count(run.cold_loads)}</Fact><Fact label="Under load for">{span(run.duration_s)}</Fact>
          <Fact label="Mode">{run.mode}</Fact><Fact label="Policy">{run.policy}</Fact><Fact label="Version">{run.version}</Fact>
          {run.models_pulled.length ? <Fact label="Pulled">{run.models_pulled.join(', ')}</Fact> : null}
        </dl>
      </section>
      <div class="benchmark-tables">
        <Rows title="Times" heads={['', 'Median', '95 %', '99 %']} rows={times.map(([name, ...values]) => [text(name), ...values.map((value) => figure(millis(value)))])} />
        <Rows title="By model" heads={['Model', 'Kind', 'Answers', 'Tokens a second', 'Mean time', 'Mean first token']} rows={run.per_model_results.map((row) => [text(<a href={href('models', row.model)}>{row.model}</a>), text(row.model_type), figure(count(row.requests)), figure(rate(row.tok_s)), figure(millis(row.avg_latency_ms)), figure(millis(row.avg_ttft_ms))])} />
        <Rows title="By node" heads={['Node', 'Answers', 'Share', 'Tokens a second', 'Tokens']} rows={run.per_node_results.map((row) => [toNode(row.node_id), figure(count(row.requests)), figure(percent(row.pct)), figure(rate(row.tok_s)), figure(count(row.tokens))])} />
        <Rows title="How busy nodes were" heads={['Node', 'CPU, mean', 'CPU, peak', 'Memory, mean', 'Memory, peak', 'At once, most']} rows={run.peak_utilization.map((row) => [toNode(row.node_id), figure(percent(row.cpu_avg)), figure(percent(row.cpu_peak)), figure(percent(row.mem_avg)), figure(percent(row.mem_peak)), figure(count(row.active_peak))])} />
      </div>
      <Rows title="Left out" heads={['Model', 'Why']} rows={run.skipped.map((row) => [text(row.model), text(row.error)])} />
      <Rows title="Why requests failed" heads={['Times', 'Why']} rows={run.errors.map((row) => [text(count(row.count)), text(row.error)])} />
      <Rows title="The fleet at its start" heads={['Node', 'State', 'Ollama', 'GPUs', 'Cores', 'Memory']} rows={run.fleet.nodes.map((node) => [toNode(node.node_id), text(node.state), text(node.ollama_version || none), text(node.gpus?.map((gpu) => gpu.name).join(', ') || none), figure(count(node.cores)), figure(bytes(node.memory_total_bytes))])} />
    </>
  )
}
