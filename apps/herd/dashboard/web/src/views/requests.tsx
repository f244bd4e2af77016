// Requests as they come: the live ones on top of what the store remembers, filtered by herd itself.
import { useCallback, useEffect, useMemo, useState } from 'preact/hooks'
import { ApiError, ask } from '../core/api.ts'
import { useCell } from '../core/cell.ts'
import { csv, save } from '../core/csv.ts'
import { bytes, clock, count, dateAndTime, millis, none, rate } from '../core/format.ts'
import { finished, mergeRecords, nodes, skipped, status } from '../core/live.ts'
import { usePolled } from '../core/poll.ts'
import { go, href, place } from '../core/router.ts'
import { terminationWords } from '../core/timeline.ts'
import type { Queues, RequestRecord } from '../core/types.ts'
import { Mark, Notice, type Tone, TroubleNotice } from '../parts/basics.tsx'
import { type Column, Table } from '../parts/table.tsx'

interface Page { requests: RequestRecord[], next?: string | null }
interface Filter { model: string, node: string, status: string, tag: string, key: string, client: string }

const keptMax = 20_000

export function outcome(record: RequestRecord): [Tone, string] {
  if (record.status === null || record.status === undefined) {
    return ['info', record.phase ?? 'running']
  }
  const ended = record.termination ?? '--'
  const broken = record.status >= 500 || ended.startsWith('N') || ended.startsWith('T')
  return [broken ? 'bad' : ended.startsWith('C') ? 'hold' : record.status >= 400 ? 'warn' : 'good', String(record.status)]
}

const columns: Column<RequestRecord>[] = [
  { key: 'at', label: 'Time', width: '5.200rem', narrow: '4.400rem', show: (r) => <span title={dateAndTime(r.at)}>{clock(r.at)}</span>, sort: (r) => r.at },
  { key: 'status', label: 'Status', width: '6.300rem', narrow: '5.600rem', show: (r) => { const [tone, text] = outcome(r); return <span class="cell-name" title={r.error ?? terminationWords(r.termination)}><Mark tone={tone} /><span class="cut">{text}</span></span> }, sort: (r) => r.status ?? 0 },
  { key: 'model', label: 'Model', width: 'minmax(8rem,1.600fr)', narrow: 'minmax(3rem,1fr)', show: (r) => r.model || r.requested_model || <span class="quiet">{r.method} {r.path}</span>, sort: (r) => r.model ?? '' },
  { key: 'node', label: 'Node', width: 'minmax(5rem,1fr)', from: 420, show: (r) => <>{r.node || none}{(r.attempts?.length ?? 0) > 1 ? <small title="attempts"> ×{r.attempts?.length}</small> : null}</>, sort: (r) => r.node ?? '' },
  { key: 'path', label: 'Endpoint', width: 'minmax(7rem,1fr)', from: 1150, show: (r) => <span class="mono">{r.path}</span>, sort: (r) => r.path ?? '' },
  { key: 'tags', label: 'Tags', width: 'minmax(4rem,.700fr)', from: 1280, show: (r) => (r.tags ?? []).join(', ') },
  { key: 'client', label: 'Client', width: '8rem', from: 1400, show: (r) => r.key ?? r.client, sort: (r) => r.client ?? '' },
  { key: 'queue', label: 'Queued', width: '4.800rem', right: true, from: 760, show: (r) => (r.queue_ms ? millis(r.queue_ms) : none), sort: (r) => r.queue_ms ?? 0 },
  { key: 'ttft', label: 'First byte', width: '5.200rem', right: true, from: 620, show: (r) => (r.ttft_ms ? millis(r.ttft_ms) : none), sort: (r) => r.ttft_ms ?? 0 },
  { key: 'total', label: 'Total', width: '5.200rem', narrow: '4.600rem', right: true, show: (r) => millis(r.total_ms), sort: (r) => r.total_ms ?? 0 },
  { key: 'tokens', label: 'Tokens', width: '7rem', right: true, from: 900, show: (r) => (r.output_tokens ? <span title="prompt → answer">{count(r.prompt_tokens)} → {count(r.output_tokens)}</span> : none), sort: (r) => r.output_tokens ?? 0 },
  { key: 'speed', label: 'Tok/s', width: '4rem', right: true, from: 700, show: (r) => rate(r.tokens_per_s), sort: (r) => r.tokens_per_s ?? 0 },
  { key: 'size', label: 'Out', width: '5.500rem', right: true, from: 1500, show: (r) => bytes(r.bytes_out), sort: (r) => r.bytes_out ?? 0 }
]

function filterOf(query: URLSearchParams): Filter {
  const get = (name: string) => query.get(name) ?? ''
  return { model: get('model'), node: get('node'), status: get('status'), tag: get('tag'), key: get('key'), client: get('client') }
}

/** Whether a record that came by an event belongs to what is asked for; herd filters the rest the same way. */
export function fits(record: RequestRecord, filter: Filter): boolean {
  const status = record.status ?? 0
  const [tone] = outcome(record)
  const ofStatus = filter.status === '' || (filter.status === 'failed' ? tone === 'bad' : filter.status === 'ok' ? tone === 'good'
    : filter.status.endsWith('xx') ? Math.floor(status / 100) === Number(filter.status[0]) : String(status) === filter.status)
  return ofStatus && (filter.model === '' || record.model === filter.model || record.requested_model === filter.model)
    && (filter.node === '' || record.node === filter.node) && (filter.tag === '' || (record.tags ?? []).includes(filter.tag))
    && (filter.key === '' || record.key === filter.key) && (filter.client === '' || record.client === filter.client)
}

function contains(record: RequestRecord, wanted: string): boolean {
  return [record.id, record.model, record.requested_model, record.node, record.path, record.client, record.key, record.error, record.session, ...(record.tags ?? [])].some((text) => text?.toLowerCase().includes(wanted))
}

/** Which models are waited for, while any is. */
function Waiting() {
  const now = useCell(status)
  const waiting = (now?.requests.queued ?? 0) > 0
  const { data } = usePolled<Queues>(waiting ? '/fleet/queue' : null, 2000)
  const queues = waiting ? Object.values(data?.queues ?? {}).filter((queue) => queue.node_id === '*' && queue.pending > 0).sort((a, b) => b.pending - a.pending) : []
  if (queues.length === 0) {
    return null
  }
  return (
    <section class="panel waiting" aria-label="Queues"><h2>Waiting for a place</h2>
      <ul class="chips">{queues.map((queue) => <li key={queue.model} class="chip"><a class="chip-name" href={href('models', queue.model)}>{queue.model}</a><b>{count(queue.pending)}</b>
        {queue.model === data?.model && typeof data?.estimated_wait_ms === 'number' ? <small>about {millis(data.estimated_wait_ms)} for a new one</small> : null}</li>)}</ul>
    </section>
  )
}

export function RequestsView() {
  const { query } = useCell(place)
  const live = useCell(finished)
  const lost = useCell(skipped)
  const fleet = useCell(nodes)
  const search = query.toString()
  const filter = useMemo(() => filterOf(query), [search])
  const [words, setWords] = useState('')
  const [trouble, setTrouble] = useState<ApiError | null>(null)
  const running = usePolled<Page>(trouble ? null : '/herd/v1/requests?status=in_flight&limit=200', 1000)
  const [held, setHeld] = useState<RequestRecord[] | null>(null)
  const [old, setOld] = useState<{ records: RequestRecord[], next: string | null, done: boolean }>({ records: [], next: null, done: false })
  const [round, setRound] = useState(0)
  const [loading, setLoading] = useState(false)

  const address = useCallback((before: string | null) => {
    const wanted = new URLSearchParams({ limit: '200' })
    for (const [name, value] of Object.entries(filter)) {
      if (value !== '') {
        wanted.set(name, value)
      }
    }
    if (before) {
      wanted.set('before', before)
    }
    return `/herd/v1/requests?${wanted}`
  }, [filter])

  useEffect(() => {
    const stop = new AbortController()
    ask<Page>(address(null), { signal: stop.signal }).then((page) => {
      setOld({ records: page.requests, next: page.next ?? null, done: !page.next })
      setTrouble(null)
    }, (error: unknown) => {
      if (!stop.signal.aborted) {
        setTrouble(error instanceof ApiError ? error : new ApiError('failed', 0, String(error)))
      }
    })
    return () => stop.abort()
  }, [address, round, lost])

  const more = useCallback(() => {
    if (loading || old.done || !old.next) {
      return
    }
    setLoading(true)
    ask<Page>(address(old.next)).then((page) => {
      setOld((now) => ({ records: [...now.records, ...page.requests].slice(0, keptMax), next: page.next ?? null, done: !page.next || now.records.length >= keptMax }))
      setLoading(false)
    }, () => setLoading(false))
  }, [loading, old, address])

  const rows = useMemo(() => {
    const wanted = words.trim().toLowerCase()
    const ended = mergeRecords(old.records, live.filter((record) => fits(record, filter)), keptMax)
    const known = new Set(ended.slice(0, 2000).map((record) => record.id))
    const now = Date.now() // of one that runs, how long it has been running
    const begun = (running.data?.requests ?? []).filter((record) => !known.has(record.id) && fits(record, { ...filter, status: '' }))
      .map((record) => ({ ...record, total_ms: Math.max(0, now - Date.parse(record.at)) }))
    const all = filter.status === '' ? [...begun, ...ended] : ended
    return wanted === '' ? all : all.filter((record) => contains(record, wanted))
  }, [old, live, running.data, filter, words])
  const set = (name: keyof Filter, value: string) => go(href('requests', '', { ...filter, [name]: value }), true)
  const models = useMemo(() => [...new Set([...(fleet ?? []).flatMap((node) => (node.models ?? []).map((model) => model.name)), filter.model])].filter((name) => name).sort(), [fleet, filter.model])
  const shown = held ?? rows
  const filtered = Object.values(filter).some((value) => value !== '') || words !== ''
  return (
    <>
      <h1 class="sr">Requests</h1>
      <div class="tools">
        <input type="search" placeholder="Filter: id, model, path, error…" aria-label="Filter requests" value={words} onInput={(event) => setWords(event.currentTarget.value)} />
        <select aria-label="Model" value={filter.model} onChange={(event) => set('model', event.currentTarget.value)}><option value="">Every model</option>{models.map((name) => <option key={name}>{name}</option>)}</select>
        <select aria-label="Node" value={filter.node} onChange={(event) => set('node', event.currentTarget.value)}><option value="">Every node</option>{(fleet ?? []).map((node) => <option key={node.id}>{node.name}</option>)}</select>
        <select aria-label="Status" value={filter.status} onChange={(event) => set('status', event.currentTarget.value)}>
          <option value="">Every status</option><option value="ok">Went well</option><option value="failed">Failed</option>{['4xx', '5xx', '429', '404'].map((each) => <option key={each}>{each}</option>)}
        </select>
        <input class="short" placeholder="Tag" aria-label="Tag" value={filter.tag} onChange={(event) => set('tag', event.currentTarget.value.trim())} />
        {filtered ? <button class="button" onClick={() => { setWords(''); go(href('requests'), true) }}>Clear</button> : null}
        <span class="grow" />
        <button class="button" aria-pressed={held !== null} onClick={() => setHeld(held ? null : rows)}>{held ? `Go on (${count(Math.max(0, rows.length - held.length))} new)` : 'Hold'}</button>
      </div>
      <Waiting />
      {trouble && rows.length === 0 ? <TroubleNotice error={trouble} what="records of requests" again={() => setRound((n) => n + 1)} /> : (
        <Table label="Requests, newest first" columns={columns} rows={shown} id={(record) => record.id} open={(record) => go(href('requests', record.id))} atEnd={more}
          empty={filtered ? 'No request fits the filter.' : 'No request yet. Whatever is asked of this herd appears here as it ends.'}
          footer={<span class="foot"><span>{count(shown.length)} shown{old.done ? ', which is all that is kept' : loading ? ', loading older ones…' : ''}{trouble ? ` · older ones could not be loaded: ${trouble.message}` : ''}</span><button class="link" disabled={shown.length === 0} onClick={() => save('requests.csv', 'text/csv', csv(shown))}>Save as CSV</button></span>} />
      )}
      {held ? <Notice tone="hold" title="Held: the table stands still until you go on." /> : null}
    </>
  )
}
