// Every node at a glance: how it is, how busy, what it holds in memory. Cards for a household, rows for a rack.
import { useMemo, useState } from 'preact/hooks'
import { ApiError, ask } from '../core/api.ts'
import { stored, useCell } from '../core/cell.ts'
import { bytes, count, millis, percent, plural, rate, span, untilUnload } from '../core/format.ts'
import { gpuBusy, memoryUsed, vram, vramUsed } from '../core/history.ts'
import { history, link, lookSoon, nodes, second, status, takeNode } from '../core/live.ts'
import { pinnedOn } from '../core/pins.ts'
import { usePolled } from '../core/poll.ts'
import { go, href } from '../core/router.ts'
import type { Node, Pins } from '../core/types.ts'
import { Choice, Loading, Mark, Meter, Notice, Sparkline, StateBadge, toneOf } from '../parts/basics.tsx'
import { type Column, Table } from '../parts/table.tsx'
import { AddNode } from './add_node.tsx'
import { PinMark } from './pins.tsx'
import { Switcher } from './switcher.tsx'

const layout = stored<'cards' | 'rows'>('fleet.layout', 'cards', (value) => value === 'cards' || value === 'rows')
const cardsMax = 120

const nodeActions = {
  approve: { word: 'Approve', hint: 'Let it join: from then on it is sent requests' },
  drain: { word: 'Drain', hint: 'Give it no new requests; what runs there finishes' },
  resume: { word: 'Resume', hint: 'Let it take requests again' },
  disable: { word: 'Disable', hint: 'Switch it off until it is enabled again, restarts included' },
  enable: { word: 'Enable', hint: 'It was switched off: let it take requests again' }
}

/** Switched off by a person's setting: resuming would change nothing. */
export const disabled = (node: Node) => node.state === 'draining' && node.state_reason === 'disabled'

/** Drain and resume, switch on, or let in who waits for it, with the answer herd gives. */
export function DrainButton({ node }: { node: Node }) {
  return <ActionButton node={node} action={node.trust === 'waiting' ? 'approve' : disabled(node) ? 'enable' : node.state === 'draining' ? 'resume' : 'drain'} />
}

export function ActionButton({ node, action }: { node: Node, action: keyof typeof nodeActions }) {
  const [busy, setBusy] = useState(false)
  const [trouble, setTrouble] = useState('')
  const act = async () => {
    setBusy(true)
    setTrouble('')
    try {
      const path = `/herd/v1/nodes/${encodeURIComponent(node.id)}`
      if (action === 'enable' || action === 'disable') {
        await ask(`${path}/settings`, { method: 'PATCH', body: { active: action === 'enable' } })
        takeNode(await ask<Node>(path))
      } else {
        takeNode(await ask<Node>(`${path}/${action}`, { method: 'POST' }))
      }
    } catch (error) {
      setTrouble(error instanceof ApiError ? error.message : String(error))
    }
    setBusy(false)
    lookSoon()
  }
  return (
    <span class="act">
      <button class="button small" disabled={busy} onClick={act} aria-label={`${nodeActions[action].word} ${node.name}`}
        title={nodeActions[action].hint}>{nodeActions[action].word}</button>
      {trouble ? <span class="act-trouble" role="alert">{trouble}</span> : null}
    </span>
  )
}

export function Slots({ node }: { node: Node }) {
  const total = node.slots?.total ?? 0
  const used = Math.max(0, total - (node.slots?.free ?? total))
  const text = `${used} of ${plural(total, 'slot')} in use`
  return (
    <span class="slots" title={text}>
      {total <= 16 ? <span class="pips" aria-hidden="true">{Array.from({ length: total }, (_, i) => <i key={i} class={i < used ? 'used' : ''} />)}</span> : null}
      <span>{used}/{total}<span class="sr"> slots in use</span></span>
    </span>
  )
}

function gpuText(node: Node): string {
  const gpus = node.gpus ?? []
  const hot = gpus.map((gpu) => gpu.temperature_c).filter((value): value is number => typeof value === 'number')
  const watts = gpus.map((gpu) => gpu.power_w).filter((value): value is number => typeof value === 'number')
  const power = watts.reduce((a, b) => a + b, 0)
  return [percent(gpuBusy(node)), hot.length ? `${Math.round(Math.max(...hot))} °C` : '', watts.length ? `${Math.round(power)} W` : ''].filter((part) => part && part !== '–').join(' · ') || '–'
}

export function NodeMeters({ node }: { node: Node }) {
  const memory = node.memory
  const video = vram(node)
  const gpuNames = (node.gpus ?? []).map((gpu) => gpu.name).join(', ')
  const known = memory?.total_bytes || node.cpu?.cores
  if (!known) {
    if (node.source !== 'static') { // an agent's, remembered from before herd started
      return <p class="quiet">Its load is known when its herd-node answers.</p>
    }
    return <p class="quiet">{node.cloud ? 'In the cloud: its load is not told.' : node.api === 'openai' ? 'A server of another make: its load is not told.' : 'A plain Ollama: install herd-node beside it to see its load.'}</p>
  }
  return (
    <div class="meters">
      <Meter label="CPU" value={node.cpu?.busy} text={percent(node.cpu?.busy)} title={`${node.cpu?.cores ?? '?'} cores, load ${rate(node.cpu?.load1)}`} />
      <Meter label="RAM" value={memoryUsed(node)} text={`${bytes(memory?.available_bytes)} free`} title={`${bytes(memory?.available_bytes)} of ${bytes(memory?.total_bytes)} available`} />
      {video ? <Meter label="VRAM" value={vramUsed(node)} text={video.free === null ? bytes(video.total) : `${bytes(video.free)} free`} title={`${bytes(video.free)} of ${bytes(video.total)} free: ${gpuNames}`} /> : null}
      {node.gpus?.length ? <Meter label="GPU" value={gpuBusy(node)} text={gpuText(node)} title={gpuNames} /> : null}
    </div>
  )
}

export function LoadedModels({ node, now, pins }: { node: Node, now: number, pins: Pins | null }) {
  const loaded = node.loaded ?? []
  if (loaded.length === 0) {
    return <p class="quiet">{node.state === 'offline' ? '' : `No model in memory, ${plural(node.models?.length ?? 0, 'model')} on disk`}</p>
  }
  return (
    <ul class="chips">
      {loaded.map((model) => {
        const spilled = model.size_vram !== undefined && model.size !== undefined && model.size_vram > 0 && model.size_vram < model.size
        const left = untilUnload(model.expires_at, now)
        return (
          <li key={model.name} class="chip" title={`${bytes(model.size)} in memory${spilled ? `, only ${bytes(model.size_vram)} of it on the GPU` : ''}; context ${count(model.context_length)}`}>
            <span class="chip-name">{model.name}</span>
            {spilled ? <Mark tone="warn" /> : null}{pinnedOn(pins, model.name, node.name) ? <PinMark /> : null}
            <small>{left || bytes(model.size)}</small>
          </li>
        )
      })}
    </ul>
  )
}

/** Why a node is as it is: its reason, or how long it has been silent. */
export function stateLine(node: Node, now: number): string {
  const parts: string[] = []
  if (node.state_reason) {
    parts.push(node.state_reason)
  }
  if (node.state !== 'online' && node.since) {
    parts.push(`for ${span((now - Date.parse(node.since)) / 1000)}`)
  }
  if (node.state === 'online' && node.latency_ms !== null && node.latency_ms !== undefined) {
    parts.push(millis(node.latency_ms))
  }
  return parts.join(', ')
}

function NodeCard({ node, now, pins }: { node: Node, now: number, pins: Pins | null }) {
  const track = history.track(node.id)
  const about = [node.version?.replace('herd-node ', 'agent '), node.ollama_version ? `Ollama ${node.ollama_version}` : '', ...(node.labels ?? [])].filter((part) => part).join(' · ')
  return (
    <article class={`card node ${toneOf[node.state]}`} aria-label={`Node ${node.name}, ${node.state}`}>
      <header>
        <h3><a href={href('nodes', node.name)}>{node.name}</a></h3>
        <StateBadge state={node.state} />
        <span class={`state-line ${node.state === 'online' ? '' : 'reason'}`} title={node.state_reason}>{stateLine(node, now)}</span>
      </header>
      <div class="body">
        <NodeMeters node={node} />
        <div class="work">
          <Slots node={node} />
          <span><b>{count(node.in_flight)}</b> running</span>
          {node.queued ? <span><b>{count(node.queued)}</b> waiting</span> : null}
          {track ? <Sparkline label={`Requests running on ${node.name}, last three minutes`} top={Math.max(1, node.slots?.total ?? 1)} lines={[{ tone: 1, values: track.flight.toArray() }]} /> : null}
        </div>
        <LoadedModels node={node} now={now} pins={pins} />
      </div>
      <footer>
        <span class="quiet" title={[about, node.url].filter((part) => part).join('\n')}>{about}</span>
        <DrainButton node={node} />
      </footer>
    </article>
  )
}

const columns: Column<Node>[] = [
  { key: 'name', label: 'Node', width: 'minmax(7rem,1.400fr)', show: (node) => <span class="cell-name"><Mark tone={toneOf[node.state]} /><a href={href('nodes', node.name)}>{node.name}</a></span>, sort: (node) => node.name },
  { key: 'state', label: 'State', width: 'minmax(6.500rem,1.400fr)', narrow: '6.500rem', show: (node) => <span title={node.state_reason}>{node.state}{node.state !== 'online' && node.state_reason ? <small> {node.state_reason}</small> : null}</span>, sort: (node) => node.state },
  { key: 'latency', label: 'Latency', width: '5rem', right: true, from: 620, show: (node) => millis(node.latency_ms), sort: (node) => node.latency_ms ?? 1e9 },
  { key: 'slots', label: 'Slots', width: '4.500rem', right: true, show: (node) => `${Math.max(0, (node.slots?.total ?? 0) - (node.slots?.free ?? 0))}/${node.slots?.total ?? 0}`, sort: (node) => (node.slots?.total ?? 0) - (node.slots?.free ?? 0) },
  { key: 'queued', label: 'Waiting', width: '5rem', right: true, from: 700, show: (node) => count(node.queued), sort: (node) => node.queued ?? 0 },
  { key: 'cpu', label: 'CPU', width: '4.500rem', right: true, from: 480, show: (node) => percent(node.cpu?.busy), sort: (node) => node.cpu?.busy ?? -1 },
  { key: 'ram', label: 'RAM free', width: '6rem', right: true, from: 760, show: (node) => bytes(node.memory?.available_bytes), sort: (node) => node.memory?.available_bytes ?? -1 },
  { key: 'vram', label: 'VRAM free', width: '6rem', right: true, from: 860, show: (node) => bytes(vram(node)?.free), sort: (node) => vram(node)?.free ?? -1 },
  { key: 'gpu', label: 'GPU', width: '11rem', right: true, from: 1080, show: gpuText, sort: (node) => gpuBusy(node) ?? -1 },
  { key: 'loaded', label: 'In memory', width: 'minmax(8rem,2fr)', from: 560, show: (node) => (node.loaded ?? []).map((model) => model.name).join(', ') },
  { key: 'act', label: '', width: '5.500rem', right: true, from: 700, show: (node) => <DrainButton node={node} /> }
]

function Totals() {
  const now = useCell(status)
  useCell(second)
  if (!now) {
    return null
  }
  const away = (now.nodes.offline ?? 0) + (now.nodes.unreachable ?? 0)
  return (
    <section class="totals" aria-label="Totals">
      <div class="total"><b>{count(now.nodes.online)}<small> / {count(now.nodes.total)}</small></b><span>nodes online</span>
        <em>{away ? <><Mark tone="bad" />{count(away)} away</> : now.nodes.suspect ? <><Mark tone="warn" />{count(now.nodes.suspect)} suspect</> : now.nodes.draining ? <><Mark tone="hold" />{count(now.nodes.draining)} draining</> : now.nodes.total ? 'all well' : ''}</em></div>
      <div class="total"><b>{count(now.requests.in_flight)}</b><span>running</span><Sparkline label="Requests running, last three minutes" lines={[{ tone: 1, values: history.flight.toArray() }]} /></div>
      <div class="total"><b>{count(now.requests.queued)}</b><span>waiting</span><Sparkline label="Requests waiting, last three minutes" lines={[{ tone: 2, values: history.queued.toArray() }]} /></div>
      <div class="total"><b>{count(now.requests.total)}</b><span>requests</span><Sparkline label="Requests a second, last three minutes" lines={[{ tone: 3, values: history.rate.toArray() }]} /></div>
      <div class="total"><b>{count(now.requests.failed)}</b><span>failed</span><em>{now.requests.total ? `${((100 * now.requests.failed) / now.requests.total).toFixed(1)} % of all` : ''}</em></div>
      <div class="total"><b>{count(now.models.loaded)}<small> / {count(now.models.available)}</small></b><span>models in memory</span><em>up {span(now.uptime_s)}</em></div>
    </section>
  )
}

const attention: Record<string, number> = { offline: 0, unreachable: 0, suspect: 1, draining: 2, unknown: 3, online: 4 }

export function FleetView() {
  const list = useCell(nodes)
  const now = useCell(second)
  const shape = useCell(layout)
  const { data: pins } = usePolled<Pins>('/herd/v1/pins', 5000)
  const { heard } = useCell(link)
  const [filter, setFilter] = useState('')
  const [state, setState] = useState('all')
  const shown = useMemo(() => {
    const wanted = filter.trim().toLowerCase()
    return (list ?? []).filter((node) => (state === 'all' || (state === 'trouble' ? (attention[node.state] ?? 0) < 2 : node.state === state))
      && (wanted === '' || [node.name, node.address, node.state, ...(node.labels ?? []), ...(node.models ?? []).map((model) => model.name)].some((text) => text?.toLowerCase().includes(wanted))))
  }, [list, filter, state])
  if (list === null) {
    return heard === 0 ? <Loading what="the fleet" /> : null
  }
  const rows = shape === 'rows' || shown.length > cardsMax
  return (
    <>
      <h1 class="sr">Fleet</h1>
      <Totals />
      <div class="tools">
        {list.length > 0 ? <>
          <input type="search" placeholder="Filter by name, label, model" aria-label="Filter nodes" value={filter} onInput={(event) => setFilter(event.currentTarget.value)} />
          <select aria-label="State" value={state} onChange={(event) => setState(event.currentTarget.value)}>
            <option value="all">Every state</option><option value="trouble">In trouble</option>
            {['online', 'suspect', 'draining', 'offline', 'unreachable', 'unknown'].map((each) => <option key={each}>{each}</option>)}
          </select>
          <span class="grow quiet">{shown.length === list.length ? plural(list.length, 'node') : `${count(shown.length)} of ${plural(list.length, 'node')}`}</span>
          <Choice label="Show as" value={rows ? 'rows' : 'cards'} options={[['cards', 'Cards'], ['rows', 'Rows']] as const} onChange={(value) => layout.set(value)} />
        </> : <span class="grow" />}
        <Switcher key="switcher" />
        <AddNode key="add" />
      </div>
      {list.length === 0 ? (
        <Notice title="No node yet.">
          Start <code>herd-node</code> beside an Ollama on this network and it appears here within a second; or add a plain Ollama by its address.
        </Notice>
      ) : shown.length === 0 ? <Notice title="No node fits the filter." action={<button class="button" onClick={() => { setFilter(''); setState('all') }}>Show all</button>} />
        : rows ? <Table label="Nodes" columns={columns} rows={shown} id={(node) => node.id} open={(node) => go(href('nodes', node.name))} tone={(node) => toneOf[node.state]} />
          : <div class="cards">{shown.map((node) => <NodeCard key={node.id} node={node} now={now} pins={pins} />)}</div>}
    </>
  )
}
