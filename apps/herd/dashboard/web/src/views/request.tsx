// One request: where its time went, and why it ran where it ran.
import { useEffect, useState } from 'preact/hooks'
import { ApiError, ask } from '../core/api.ts'
import { useCell } from '../core/cell.ts'
import { bytes, count, dateAndTime, millis, none, rate } from '../core/format.ts'
import { finished, second } from '../core/live.ts'
import { usePolled } from '../core/poll.ts'
import { href } from '../core/router.ts'
import { partWords, segments, terminationWords } from '../core/timeline.ts'
import type { RequestRecord } from '../core/types.ts'
import { Fact, Loading, Mark, Notice, TroubleNotice } from '../parts/basics.tsx'
import { DecisionTable } from '../parts/decision.tsx'
import { outcome } from './requests.tsx'

const phases: Record<string, string> = { reading: 'Its body is still coming.', queued: 'It waits for a place.', waiting: 'Its node has not answered yet: it loads the model or reads the prompt.', streaming: 'Its answer is on the way' }

function runningWords(record: RequestRecord): string {
  return record.phase === 'streaming' ? `${phases.streaming}: ${bytes(record.bytes_out)} so far.` : phases[record.phase ?? ''] ?? 'It has not ended yet.'
}

const colours: Record<string, string> = { queued: 's1', retried: 's7', connect: 's8', load: 's2', node: 's6', prefill: 's3', first: 's3', generate: 's5', rest: 's8' }

export function Timeline({ record }: { record: RequestRecord }) {
  const parts = segments(record)
  const total = Math.max(0.001, record.total_ms ?? 0)
  return (
    <div class="timeline">
      <div class="timeline-bar" role="img" aria-label={parts.map((part) => `${partWords[part.part]} ${millis(part.ms)}`).join(', ')}>
        {parts.map((part) => <i key={part.part} class={colours[part.part]} style={{ width: `${(100 * part.ms) / total}%` }} title={`${partWords[part.part]}: ${millis(part.ms)}`} />)}
      </div>
      <ol>
        {parts.map((part) => (
          <li key={part.part}><i class={colours[part.part]} /><span>{partWords[part.part]}</span><span class="right">{millis(part.ms)}</span><span class="right quiet">{Math.round((100 * part.ms) / total)} %</span>
            <span class="lane"><b class={colours[part.part]} style={{ left: `${(100 * part.from) / total}%`, width: `${Math.max(0.4, (100 * part.ms) / total)}%` }} /></span></li>
        ))}
      </ol>
    </div>
  )
}

/** Ends one that runs: its client's connection is closed, and the node stops. Asked twice. */
export function EndButton({ id, ended }: { id: string, ended: () => void }) {
  const [sure, setSure] = useState(false)
  const [trouble, setTrouble] = useState('')
  const end = async () => {
    setTrouble('')
    try {
      await ask(`/herd/v1/requests/${encodeURIComponent(id)}`, { method: 'DELETE' })
      ended()
    } catch (error) {
      setTrouble(error instanceof ApiError ? error.message : String(error))
    }
    setSure(false)
  }
  return <span class="act">{sure ? <><button class="button small" onClick={end}>Yes, end it</button><button class="button small" onClick={() => setSure(false)}>No</button></>
    : <button class="button small" title="Close its client’s connection; the node stops working on it" onClick={() => setSure(true)}>End it</button>}
    {trouble ? <span class="act-trouble" role="alert">{trouble}</span> : null}</span>
}

export function RequestView({ id }: { id: string }) {
  const recent = useCell(finished).find((record) => record.id === id) ?? null
  const now = useCell(second)
  const [every, setEvery] = useState(1000)
  const { data, error, again } = usePolled<RequestRecord>(`/herd/v1/requests/${encodeURIComponent(id)}`, every)
  const running = data !== null && (data.status === null || data.status === undefined)
  const unknown = !data && error?.status === 404
  useEffect(() => { setEvery((data && !running) || unknown ? 0 : 1000) }, [data, running, unknown])
  const record = data ?? recent
  const back = <p><a class="inline" href={href('requests')}>← All requests</a></p>
  if (!record) {
    return <>{back}{unknown ? <Notice title={`No request ${id} is known.`} action={<button class="button" onClick={again}>Look again</button>}>Its id is mistyped, its record is older than records are kept, or it was made of a herd without its records.</Notice>
      : error ? <TroubleNotice error={error} what={`a record of ${id}`} again={again} /> : <Loading what="the request" />}</>
  }
  const [tone, text] = outcome(record)
  const attempts = record.attempts ?? []
  return (
    <>
      {back}
      <div class="head"><h1>{record.model || record.requested_model || record.path}</h1><span class={`badge ${tone}`}><Mark tone={tone} />{text}</span><span class="quiet">{record.node ? <>on <a class="inline" href={href('nodes', record.node)}>{record.node}</a>, </> : null}{dateAndTime(record.at)}</span><span class="grow" />{running ? <EndButton id={id} ended={again} /> : null}</div>
      {record.error ? <p class="trouble">{record.error}</p> : null}
      {running ? <section class="panel"><h2>It runs <small>for {millis(Math.max(0, now - Date.parse(record.at)))}</small></h2><p class="quiet">{runningWords(record)}</p></section>
        : <section class="panel"><h2>Where the time went <small>{millis(record.total_ms)} in all</small></h2><Timeline record={record} /></section>}
      <section class="panel"><h2>Why there</h2>
        {record.decision ? <DecisionTable decision={record.decision} />
          : error && !data ? <TroubleNotice error={error} what="the decision" again={again} />
            : <p class="quiet">{running ? 'The decision is told when it has ended.' : data ? 'No decision was kept: herd answered this by itself, or refused it.' : 'Loading…'}</p>}
      </section>
      <div class="grid-2">
        <section class="panel"><h2>Attempts</h2>
          {attempts.length === 0 ? <p class="quiet">None: no node was asked.</p> : (
            <table class="plain-table"><thead><tr><th>#</th><th>Node</th><th>Outcome</th><th class="right">Took</th></tr></thead>
              <tbody>{attempts.map((attempt, i) => <tr key={i}><td>{i + 1}</td><td><a href={href('nodes', attempt.node)}>{attempt.node}</a></td><td>{attempt.outcome.replaceAll('_', ' ')}</td><td class="right">{millis(attempt.ms)}</td></tr>)}</tbody></table>)}
        </section>
        <section class="panel"><h2>Figures</h2>
          <dl class="facts">
            <Fact label="Prompt">{count(record.prompt_tokens)} tokens{record.cached_tokens ? `, ${count(record.cached_tokens)} cached` : ''}</Fact>
            <Fact label="Answer">{count(record.output_tokens)} tokens</Fact>
            <Fact label="Speed">{rate(record.tokens_per_s)} tok/s</Fact>
            <Fact label="First byte">{millis(record.ttft_ms)}</Fact>
            <Fact label="In, out">{bytes(record.bytes_in)}, {bytes(record.bytes_out)}</Fact>
            <Fact label="End">{running ? none : terminationWords(record.termination)}{record.done_reason ? `, “${record.done_reason}”` : ''}</Fact>
            {record.num_ctx_used || record.num_ctx_asked ? <Fact label="Context">{count(record.num_ctx_used)}{record.num_ctx_asked ? `, asked for ${count(record.num_ctx_asked)}` : ''}</Fact> : null}
          </dl>
        </section>
      </div>
      <section class="panel"><h2>Request</h2>
        <dl class="facts roomier">
          <Fact label="Id"><span class="mono">{record.id}</span></Fact>
          <Fact label="Endpoint"><span class="mono">{record.method ?? ''} {record.path}</span></Fact>
          <Fact label="Dialect">{record.api ?? none}{record.stream ? ', streamed' : ''}</Fact>
          <Fact label="Client">{record.client ?? none}{record.key ? `, key ${record.key}` : ''}</Fact>
          {record.frontend ? <Fact label="Frontend">{record.frontend}</Fact> : null}
          <Fact label="Asked for">{record.requested_model || none}{record.fallback ? ' (a fallback ran)' : ''}</Fact>
          <Fact label="Priority">{record.priority ?? none}</Fact>
          {record.user_agent ? <Fact label="Program">{record.user_agent}</Fact> : null}
          {record.labels?.length ? <Fact label="Labels wanted">{record.labels.join(', ')}</Fact> : null}
          {record.affinity === 'hit' || record.affinity === 'new' ? <Fact label="Conversation">{record.affinity === 'hit' ? 'its beginning was on that node' : 'new there'}</Fact> : null}
          {record.session ? <Fact label="Session"><span class="mono">{record.session}</span></Fact> : null}
          <Fact label="Tags">{record.tags?.length ? record.tags.map((tag) => <a key={tag} class="chip" href={href('requests', '', { tag })}>{tag}</a>) : none}</Fact>
        </dl>
        <p class="quiet">Prompts and answers are never kept.</p>
      </section>
    </>
  )
}
