// Tries the fleet from the browser: any dialect, any model, streamed live, with the times and headers that explain it.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks'
import { ApiError, ask } from '../core/api.ts'
import { blank, type Outgoing, type Progress, send } from '../core/call.ts'
import { stored, useCell } from '../core/cell.ts'
import { type Dialect, dialectWords, type Endpoint, endpointOf, endpoints, jsonTrouble } from '../core/dialects.ts'
import { bytes, clock, count, millis, none, rate } from '../core/format.ts'
import { frontendOfHost, type Target, targetsOf } from '../core/frontends.ts'
import { nodes } from '../core/live.ts'
import { usePolled } from '../core/poll.ts'
import { go, href, place } from '../core/router.ts'
import { type Language, snippet } from '../core/snippets.ts'
import type { CatalogModel, Decision, Frontend } from '../core/types.ts'
import { Choice, Fact, Mark, Notice } from '../parts/basics.tsx'
import { DecisionTable } from '../parts/decision.tsx'
import { LoadTest } from './load_test.tsx'

interface Past { at: number, target?: string, endpoint: string, body: string, headers: Record<string, string>, status: number, ms: number | null, model: string, node: string }

const isRecord = (value: unknown): boolean => value !== null && typeof value === 'object' && !Array.isArray(value)
const chosen = stored<string>('explorer.endpoint', 'chat', (value) => typeof value === 'string')
const streaming = stored<boolean>('explorer.stream', true, (value) => typeof value === 'boolean')
const sendTo = stored<string>('explorer.target', '', (value) => typeof value === 'string')
const lastModel = stored<string>('explorer.model', '', (value) => typeof value === 'string')
const bodies = stored<Record<string, string>>('explorer.bodies', {}, isRecord)
const extra = stored<Record<string, string>>('explorer.headers', {}, isRecord)
const past = stored<Past[]>('explorer.history', [], Array.isArray)
const pastMax = 40

const headerFields: [string, string, string][] = [['X-Herd-Node', 'Node', 'any'], ['X-Herd-Label', 'Label', 'none'], ['X-Herd-Session', 'Conversation', 'none'], ['X-Herd-Tags', 'Tags', 'none'], ['X-Herd-Fallback-Models', 'Fallback models', 'none'], ['X-Herd-Deadline', 'Deadline, s', 'none']]

/** The body with one field changed, the rest and its order kept; unchanged when it is not JSON. */
export function withField(source: string, name: string, value: unknown): string {
  try {
    const json = JSON.parse(source) as Record<string, unknown>
    if (!isRecord(json)) {
      return source
    }
    json[name] = value
    if (name === 'stream' && 'stream_options' in json && value === false) {
      delete json.stream_options
    }
    return JSON.stringify(json, null, 2)
  } catch {
    return source
  }
}

const template = (endpoint: Endpoint, model: string, stream: boolean) => {
  const body = endpoint.template(model, stream)
  return body === null ? '' : JSON.stringify(body, null, 2)
}

/** One that answers at once where there is such: in memory, and no model for embeddings. */
function firstChoice(models: CatalogModel[]): string {
  const rank = (model: CatalogModel) => (model.name.includes('embed') ? 2 : 0) + (model.nodes.some((each) => each.loaded) ? 0 : 1)
  return [...models].sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name))[0]?.name ?? ''
}

function modelOf(source: string): string {
  try {
    const json = JSON.parse(source) as { model?: unknown }
    return typeof json.model === 'string' ? json.model : ''
  } catch {
    return ''
  }
}

function Editor({ value, onInput, submit, known }: { value: string, onInput: (value: string) => void, submit: () => void, known: string[] | null }) {
  const field = useRef<HTMLTextAreaElement>(null)
  const trouble = useMemo(() => jsonTrouble(value), [value])
  const model = trouble ? '' : modelOf(value)
  const absent = !trouble && known !== null && model !== '' && !known.some((name) => name === model || name === `${model}:latest`)
  const goTo = () => {
    field.current?.focus()
    field.current?.setSelectionRange(trouble?.at ?? 0, (trouble?.at ?? 0) + 1)
  }
  return (
    <div class={`editor ${trouble ? 'invalid' : ''}`}>
      <textarea ref={field} aria-label="Body, JSON" aria-invalid={trouble !== null} spellcheck={false} autocomplete="off" value={value} rows={Math.min(22, Math.max(9, value.split('\n').length + 1))}
        onInput={(event) => onInput(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
            event.preventDefault()
            submit()
          }
        }} />
      <div class="editor-foot" role="status">
        {trouble ? <button type="button" class="link" onClick={goTo}><Mark tone="bad" />Line {trouble.line}, column {trouble.column}: {trouble.message}</button>
          : absent ? <span><Mark tone="warn" />No node has {model}</span> : <span><Mark tone="good" />Valid JSON</span>}
        <button type="button" class="link" disabled={trouble !== null} onClick={() => onInput(JSON.stringify(JSON.parse(value), null, 2))}>Tidy up</button>
      </div>
    </div>
  )
}

function Headers({ value, onChange, nodeNames }: { value: Record<string, string>, onChange: (value: Record<string, string>) => void, nodeNames: string[] }) {
  const set = (name: string, text: string) => {
    const { [name]: _, ...rest } = value
    onChange(text === '' ? rest : { ...rest, [name]: text })
  }
  const active = Object.keys(value).length
  return (
    <details class="more" open={active > 0}>
      <summary>Headers{active ? ` (${active})` : ''}</summary>
      <div class="header-fields">
        {headerFields.map(([name, label, hint]) => (
          <label key={name} class="field" title={name}>{label}
            {name === 'X-Herd-Node' ? <select value={value[name] ?? ''} onChange={(event) => set(name, event.currentTarget.value)}><option value="">any</option>{nodeNames.map((each) => <option key={each}>{each}</option>)}</select>
              : <input value={value[name] ?? ''} placeholder={hint} spellcheck={false} onInput={(event) => set(name, event.currentTarget.value)} />}
          </label>
        ))}
        <label class="field" title="X-Herd-Priority">Priority
          <select value={value['X-Herd-Priority'] ?? ''} onChange={(event) => set('X-Herd-Priority', event.currentTarget.value)}><option value="">normal</option><option>interactive</option><option>batch</option></select></label>
        <label class="field" title="Authorization: Bearer">Key<input type="password" autocomplete="off" value={(value.Authorization ?? '').replace(/^Bearer /, '')} placeholder="as in Settings" onInput={(event) => set('Authorization', event.currentTarget.value ? `Bearer ${event.currentTarget.value}` : '')} /></label>
      </div>
    </details>
  )
}

function Copy({ out }: { out: Outgoing }) {
  const [said, setSaid] = useState('')
  const copy = async (language: Language) => {
    const text = snippet(language, out, location.origin)
    try {
      await navigator.clipboard.writeText(text)
      setSaid('copied')
    } catch {
      // Without https browsers lend no clipboard: the old way.
      const area = document.createElement('textarea')
      area.value = text
      document.body.append(area)
      area.select()
      setSaid(document.execCommand('copy') ? 'copied' : 'this browser does not let pages copy')
      area.remove()
    }
    setTimeout(() => setSaid(''), 1800)
  }
  return <span class="copy">Copy as {(['curl', 'python', 'javascript'] as Language[]).map((each) => <button key={each} type="button" class="link" onClick={() => copy(each)}>{{ curl: 'curl', python: 'Python', javascript: 'JavaScript' }[each]}</button>)}<span role="status">{said}</span></span>
}

function Figures({ now, running }: { now: Progress, running: boolean }) {
  const header = (name: string) => now.headers.find(([key]) => key === name)?.[1]
  const id = header('x-herd-request-id')
  const tone = now.status >= 500 || now.error ? 'bad' : now.status >= 400 ? 'warn' : 'good'
  return (
    <dl class="facts tight">
      <Fact label="Status"><span class="cell-name"><Mark tone={running && !now.error ? 'info' : tone} />{now.status || '…'}</span></Fact>
      <Fact label="First token" title="From sending to the first token that is not empty">{millis(now.firstMs)}</Fact>
      <Fact label="Total">{millis(now.totalMs)}</Fact>
      <Fact label="Speed">{now.tokensPerS !== null ? `${rate(now.tokensPerS)} tok/s` : running && now.livePerS !== null ? `≈ ${rate(now.livePerS)} tok/s` : none}</Fact>
      <Fact label="Tokens" title="prompt → answer">{now.promptTokens !== null ? `${count(now.promptTokens)} → ` : ''}{now.outputTokens !== null ? count(now.outputTokens) : now.chunks ? `${count(now.chunks)} pieces` : none}</Fact>
      <Fact label="Node">{header('x-herd-node') ? <a class="inline" href={href('nodes', header('x-herd-node'))}>{header('x-herd-node')}</a> : none}</Fact>
      <Fact label="Queued">{header('x-herd-queue-ms') !== undefined ? `${header('x-herd-queue-ms')} ms` : none}{Number(header('x-herd-retries')) > 0 ? `, ${header('x-herd-retries')} retries` : ''}</Fact>
      <Fact label="Why there">{id ? <a class="inline" href={href('requests', id)}>the record</a> : none}</Fact>
    </dl>
  )
}

function Answer({ now, running, endpoint }: { now: Progress, running: boolean, endpoint: Endpoint }) {
  const [tab, setTab] = useState<'preview' | 'raw' | 'headers'>('preview')
  const end = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const box = end.current?.parentElement
    if (box && running && box.scrollHeight - box.scrollTop - box.clientHeight < 120) {
      box.scrollTop = box.scrollHeight
    }
  }, [now.text, now.raw, tab])
  return (
    <div class="answer">
      <Figures now={now} running={running} />
      {now.error ? <p class="trouble" role="alert">{now.error}</p> : null}
      <Choice label="Show" value={tab} options={[['preview', 'Preview'], ['raw', `Raw${now.rawBytes ? ` (${bytes(now.rawBytes)})` : ''}`], ['headers', 'Headers']] as const} onChange={setTab} />
      <div class="answer-box" tabIndex={0} aria-live={running ? 'off' : 'polite'} aria-label="Answer">
        {tab === 'preview' ? <>
          {now.thinking ? <details class="thinking" open={now.text === ''}><summary>Thinking</summary>{now.thinking}</details> : null}
          <div class={endpoint.kind === 'text' ? 'prose' : 'mono pre'}>{now.text}{running && endpoint.kind === 'text' ? <span class="caret" aria-hidden="true" /> : null}</div>
          {now.done && now.text === '' && now.thinking === '' && !now.error ? <p class="quiet">The answer has no text; see Raw.</p> : null}
        </> : tab === 'raw' ? <pre class="mono pre">{now.raw}{now.rawBytes > 2 * 1024 * 1024 ? '\n… (the rest is not kept)' : ''}</pre>
          : <table class="plain-table"><tbody>{now.headers.map(([name, value]) => <tr key={name} class={name.startsWith('x-herd-') ? 'ours' : ''}><td class="mono">{name}</td><td class="mono">{value}</td></tr>)}</tbody></table>}
        <div ref={end} />
      </div>
    </div>
  )
}

/** Which frontend is called: by its path on this address, or by a name that only a page of that name can say. */
function SendTo({ targets, here, value, onChange }: { targets: Target[], here: string, value: Target | undefined, onChange: (id: string) => void }) {
  if (targets.length === 0) {
    return null
  }
  const there = value?.host ? `${location.protocol}//${value.host}${location.port ? `:${location.port}` : ''}` : ''
  return (
    <>
      <label class="switcher">Send to
        <select aria-label="Send to" value={value?.id ?? ''} onChange={(event) => onChange(event.currentTarget.value)}>
          <option value="">{here ? `${here} (this address)` : 'this address'}</option>
          {targets.map((each) => <option key={each.id} value={each.id}>{each.name}</option>)}
        </select></label>
      {there ? <Notice title={`A browser calls ${value?.name} only from a page of that name.`}>Open <a href={`${there}/dashboard/explorer`} target="_blank" rel="noreferrer">{there}/dashboard/explorer</a>, or copy the request. With <code>path_prefix = true</code> this frontend could be called from here.</Notice> : null}
    </>
  )
}

function Why({ decision, trouble, close }: { decision: Decision | null, trouble: string, close: () => void }) {
  return <section class="panel"><h2>Where it would run <small>without sending it</small><span class="grow" /><button class="button small" onClick={close}>Close</button></h2>
    {trouble ? <Notice tone="warn" title="No explanation.">{trouble}</Notice> : decision ? <DecisionTable decision={decision} /> : <p class="quiet">Asking…</p>}
    {decision?.body ? <details class="more"><summary>The body as {decision.chosen ?? 'a node'} would get it, with what is pinned</summary><pre class="mono pre">{JSON.stringify(decision.body, null, 2)}</pre></details> : null}</section>
}

export function ExplorerView() {
  const { query } = useCell(place)
  const id = useCell(chosen)
  const stream = useCell(streaming)
  const model = useCell(lastModel)
  const kept = useCell(bodies)
  const headers = useCell(extra)
  const before = useCell(past)
  const fleet = useCell(nodes)
  const catalog = usePolled<{ models: CatalogModel[] }>('/herd/v1/models', 10_000)
  const known = useMemo(() => catalog.data ? catalog.data.models.map((each) => each.name).sort() : null, [catalog.data])
  const endpoint = endpointOf(id)
  const frontends = usePolled<{ frontends: Frontend[] }>('/herd/v1/frontends', 10_000).data?.frontends ?? []
  const targets = targetsOf(frontends, location.hostname)
  const wantedTarget = useCell(sendTo)
  const target = targets.find((each) => each.id === wantedTarget)
  const body = kept[id] ?? template(endpoint, model || 'MODEL', stream)
  const [now, setNow] = useState<Progress | null>(null)
  const [running, setRunning] = useState<AbortController | null>(null)
  const [mode, setMode] = useState<'one' | 'load'>(query.get('try') === 'load' ? 'load' : 'one')
  const [why, setWhy] = useState<{ decision: Decision | null, trouble: string } | null>(null)
  const edit = (text: string) => bodies.set({ ...bodies.value, [id]: text })

  const choose = (name: string) => {
    lastModel.set(name)
    bodies.set(Object.fromEntries(Object.entries(bodies.value).map(([key, text]) => [key, withField(text, 'model', name)])))
  }
  const wanted = query.get('model')
  useEffect(() => {
    if (wanted) {
      choose(wanted)
      go(href('explorer'), true)
    } else if (!model && catalog.data?.models.length) {
      choose(firstChoice(catalog.data.models))
    }
  }, [wanted, known])
  useEffect(() => () => running?.abort(), [running])

  const out: Outgoing = { endpoint, body, headers, base: target?.base, host: target?.host }
  const submit = async () => {
    if (running || target?.host || (endpoint.method !== 'GET' && jsonTrouble(body))) {
      return
    }
    if (endpoint.method === 'DELETE' && !confirm(`Delete ${modelOf(body)} from the fleet’s nodes?`)) {
      return
    }
    const stop = new AbortController()
    setRunning(stop)
    setWhy(null)
    setNow(blank())
    let latest: Progress | null = null
    let scheduled = false
    const told = (progress: Progress) => {
      latest = progress
      if (!scheduled) {
        scheduled = true
        requestAnimationFrame(() => {
          scheduled = false
          setNow(latest)
        })
      }
    }
    const made = await send(out, stop.signal, told).catch((error: unknown): Progress => ({ ...blank(), done: true, error: stop.signal.aborted ? 'stopped' : `herd cannot be reached (${error instanceof Error ? error.message : String(error)})` }))
    latest = made
    setNow(made)
    setRunning(null)
    const { Authorization: _, ...shown } = headers
    past.update((all) => [{ at: Date.now(), target: target?.id, endpoint: id, body: body.slice(0, 20_000), headers: shown, status: made.status, ms: made.totalMs, model: modelOf(body), node: made.headers.find(([name]) => name === 'x-herd-node')?.[1] ?? '' }, ...all].slice(0, pastMax))
  }
  const explain = async () => {
    setWhy({ decision: null, trouble: '' })
    try {
      setWhy({ decision: await ask<Decision>('/herd/v1/route', { method: 'POST', headers, body: { ...(JSON.parse(body) as object), path: endpoint.path, ...(target ? { frontend: target.id } : {}) } }), trouble: '' })
    } catch (error) {
      setWhy({ decision: null, trouble: error instanceof ApiError && error.trouble === 'absent' ? `This herd does not explain decisions: ${error.message}` : error instanceof Error ? error.message : String(error) })
    }
  }
  const invalid = endpoint.method !== 'GET' && jsonTrouble(body) !== null
  return (
    <>
      <h1 class="sr">Explorer</h1>
      <div class="explorer">
        <section class="panel ask" aria-label="Request">
          <div class="tools">
            <Choice<Dialect> label="Dialect" value={endpoint.dialect} options={Object.entries(dialectWords) as [Dialect, string][]} onChange={(value) => chosen.set(endpoints.find((each) => each.dialect === value)?.id ?? 'chat')} />
            <select aria-label="Endpoint" value={id} onChange={(event) => chosen.set(event.currentTarget.value)}>{endpoints.filter((each) => each.dialect === endpoint.dialect).map((each) => <option key={each.id} value={each.id}>{each.label}</option>)}</select>
          </div>
          <SendTo targets={targets} here={frontendOfHost(frontends, location.hostname)?.name ?? ''} value={target} onChange={(value) => sendTo.set(value)} />
          <p class="mono where"><b>{endpoint.method}</b> {target?.host}{target?.base}{endpoint.path}</p>
          {endpoint.method !== 'GET' ? <>
            <div class="tools">
              <select aria-label="Model" class="grow" value={modelOf(body) || model} onChange={(event) => { choose(event.currentTarget.value); edit(withField(body, 'model', event.currentTarget.value)) }}>
                {[...new Set([...(known ?? []), modelOf(body) || model])].filter((name) => name).map((name) => <option key={name}>{name}</option>)}
              </select>
              {endpoint.streams ? <label class="check"><input type="checkbox" checked={stream} onChange={(event) => { streaming.set(event.currentTarget.checked); edit(withField(body, 'stream', event.currentTarget.checked)) }} />Stream</label> : null}
              <button type="button" class="link" onClick={() => edit(template(endpoint, model, stream))}>Start over</button>
            </div>
            <Editor value={body} onInput={edit} submit={submit} known={endpoint.id === 'pull' ? null : known} />
          </> : null}
          <Headers value={headers} onChange={(value) => extra.set(value)} nodeNames={(fleet ?? []).map((node) => node.name)} />
          <div class="tools">
            {running ? <button class="button main" onClick={() => running.abort()}>Stop</button> : <button class="button main" disabled={invalid || mode === 'load' || Boolean(target?.host)} onClick={submit} title="Ctrl Enter">Send</button>}
            {endpoint.kind === 'text' || endpoint.kind === 'embedding' ? <button class="button" disabled={invalid} onClick={explain}>Where would it run?</button> : null}
            <span class="grow" /><Copy out={out} />
          </div>
        </section>
        <section class="panel get" aria-label="Answer">
          <Choice label="Try" value={mode} options={[['one', 'One request'], ['load', 'Load test']] as const} onChange={setMode} />
          {mode === 'load' ? <LoadTest out={out} ready={!invalid && !target?.host && endpoint.kind !== 'progress' && endpoint.method !== 'DELETE'} />
            : now ? <Answer now={now} running={running !== null} endpoint={endpoint} /> : <p class="quiet roomy">The answer appears here as it comes, with its times and headers.</p>}
        </section>
      </div>
      {why ? <Why decision={why.decision} trouble={why.trouble} close={() => setWhy(null)} /> : null}
      {before.length ? (
        <section class="panel"><h2>History <small>in this browser</small><span class="grow" /><button class="button small" onClick={() => past.set([])}>Forget it</button></h2>
          <div class="scroll-x"><table class="plain-table past"><tbody>{before.slice(0, 12).map((each) => (
            <tr key={each.at}><td>{clock(each.at)}</td><td><Mark tone={each.status >= 500 || each.status === 0 ? 'bad' : each.status >= 400 ? 'warn' : 'good'} /> {each.status || 'none'}</td><td>{dialectWords[endpointOf(each.endpoint).dialect]}, {endpointOf(each.endpoint).label}</td><td>{each.model || none}</td><td>{each.node || none}</td><td class="right">{millis(each.ms)}</td>
              <td class="right"><button class="button small" onClick={() => { chosen.set(each.endpoint); sendTo.set(each.target ?? ''); bodies.set({ ...bodies.value, [each.endpoint]: each.body }); extra.set(each.headers); scrollTo(0, 0) }}>Again</button></td></tr>
          ))}</tbody></table></div></section>) : null}
    </>
  )
}
