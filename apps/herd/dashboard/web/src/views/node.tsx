// One node: everything it tells of itself, and its last three minutes.
import { useState } from 'preact/hooks'
import { ApiError, ask } from '../core/api.ts'
import { useCell } from '../core/cell.ts'
import { bytes, count, dateAndTime, millis, none, percent, shortDigest, span, untilUnload } from '../core/format.ts'
import { history, link, lookSoon, nodes, second, takeNode } from '../core/live.ts'
import { seconds } from '../core/history.ts'
import { usePolled } from '../core/poll.ts'
import { go, href } from '../core/router.ts'
import type { Node, Pins } from '../core/types.ts'
import { Fact, Loading, Mark, Notice, StateBadge } from '../parts/basics.tsx'
import { Chart } from '../parts/chart.tsx'
import { DeleteModel, PullModel } from './model_change.tsx'
import { ChangeNode } from './node_change.tsx'
import { PinButton } from './pins.tsx'
import { ActionButton, disabled, DrainButton, NodeMeters, Slots, stateLine } from './fleet.tsx'

function RemoveButton({ node }: { node: Node }) {
  const [sure, setSure] = useState(false)
  const [trouble, setTrouble] = useState('')
  const remove = async () => {
    try {
      await ask(`/herd/v1/nodes/${encodeURIComponent(node.id)}`, { method: 'DELETE' })
      takeNode({ id: node.id, state: 'removed' })
      lookSoon()
      go(href(''))
    } catch (error) {
      setTrouble(error instanceof ApiError ? error.message : String(error))
    }
  }
  return <span class="act">{sure ? <><button class="button small" onClick={remove}>Yes, forget {node.name}</button><button class="button small" onClick={() => setSure(false)}>No</button></> : <button class="button small" onClick={() => setSure(true)}>Remove</button>}
    {trouble ? <span class="act-trouble" role="alert">{trouble}</span> : null}</span>
}

/** Asks the node now, and says what came of it. */
function ProbeButton({ node }: { node: Node }) {
  const [busy, setBusy] = useState(false)
  const [said, setSaid] = useState('')
  const probe = async () => {
    setBusy(true)
    setSaid('')
    try {
      const now = await ask<Node & { key_status?: string }>(`/herd/v1/nodes/${encodeURIComponent(node.id)}/probe`, { method: 'POST' })
      takeNode(now)
      const key = now.key_status ? `, key ${now.key_status}` : ''
      setSaid((now.state === 'online' ? `answered in ${millis(now.latency_ms)}` : `${now.state}: ${now.state_reason ?? ''}`) + key)
    } catch (error) {
      setSaid(error instanceof ApiError ? error.message : String(error))
    }
    setBusy(false)
  }
  return <span class="act"><button class="button small" disabled={busy} title="Ask it now how it is" onClick={probe}>{busy ? 'Asking…' : 'Probe'}</button>{said ? <span class="quiet" role="status">{said}</span> : null}</span>
}

const known = (values: number[]) => values.map((value) => (Number.isNaN(value) ? null : value))

function Trends({ node, now }: { node: Node, now: number }) {
  const track = history.track(node.id)
  if (!track) {
    return null
  }
  const end = Math.floor(now / 1000)
  const x = Array.from({ length: seconds }, (_, i) => end - seconds + 1 + i)
  const share = (value: number) => `${Math.round(value * 100)} %`
  const loads = [{ label: 'CPU', values: known(track.cpu.toArray()) }, { label: 'RAM', values: known(track.memory.toArray()), colour: 2 },
    ...(node.gpus?.length ? [{ label: 'GPU', values: known(track.gpu.toArray()), colour: 1 }, { label: 'VRAM', values: known(track.vram.toArray()), colour: 3 }] : [])]
  return (
    <div class="grid-2">
      <section class="panel"><h2>Load <small>since this page is open</small></h2><Chart label="Load" x={x} series={loads} show={share} height={170} /></section>
      <section class="panel"><h2>Requests running</h2><Chart label="Requests running" x={x} series={[{ label: 'Running', values: known(track.flight.toArray()) }]} whole show={(value) => String(Math.round(value))} height={170} /></section>
    </div>
  )
}

export function NodeView({ name }: { name: string }) {
  const list = useCell(nodes)
  const now = useCell(second)
  const { heard } = useCell(link)
  const pins = usePolled<Pins>('/herd/v1/pins', 5000)
  const node = list?.find((each) => each.name === name || each.id === name)
  const back = <p><a class="inline" href={href('')}>← The fleet</a></p>
  if (!node) {
    return <>{back}{list || heard ? <Notice title={`No node is called ${name}.`}>It may have been removed, or renamed.</Notice> : <Loading what="the node" />}</>
  }
  const loaded = new Map((node.loaded ?? []).map((model) => [model.name, model]))
  const models = [...(node.models ?? [])].sort((a, b) => Number(loaded.has(b.name)) - Number(loaded.has(a.name)) || a.name.localeCompare(b.name))
  return (
    <>
      {back}
      <div class="head"><h1>{node.name}</h1><StateBadge state={node.state} /><span class="quiet">{stateLine(node, now)}</span><span class="grow" />
        <a class="button small" href={href('requests', '', { node: node.name })}>Its requests</a><ProbeButton node={node} /><ChangeNode node={node} /><DrainButton node={node} />{disabled(node) ? null : <ActionButton node={node} action="disable" />}{node.source === 'static' ? <RemoveButton node={node} /> : null}</div>
      <div class="grid-about">
        <section class="panel"><h2>Now</h2><NodeMeters node={node} /><div class="work roomy"><Slots node={node} /><span><b>{count(node.in_flight)}</b> running</span><span><b>{count(node.queued)}</b> waiting</span></div></section>
        <section class="panel"><h2>About it</h2>
          <dl class="facts">
            <Fact label="Address"><span class="mono">{node.url ?? node.address}</span></Fact>
            <Fact label="Round trip">{millis(node.latency_ms)}</Fact>
            <Fact label="Heard">{node.last_seen_ms === null || node.last_seen_ms === undefined ? 'never' : `${millis(node.last_seen_ms)} ago`}</Fact>
            <Fact label={`Is ${node.state} since`}>{node.since ? dateAndTime(node.since) : none}</Fact>
            <Fact label="Agent">{node.version || 'none'}{node.gateway ? ', gateway' : ''}</Fact>
            <Fact label="Ollama">{node.ollama_version || none}</Fact>
            <Fact label="Found by">{node.source === 'lana' ? 'its announcements' : node.source === 'static' ? 'configuration' : node.source ?? none}</Fact>
            <Fact label="Labels">{node.labels?.length ? node.labels.join(', ') : none}</Fact>
            <Fact label="Processor">{node.cpu?.model ?? none}</Fact>
            <Fact label="Cores, load">{count(node.cpu?.cores)}{typeof node.cpu?.load1 === 'number' ? `, ${node.cpu.load1.toFixed(2)}` : ''}</Fact>
            <Fact label="Swap in use">{bytes(node.memory?.swap_used_bytes)}</Fact>
            <Fact label="Id"><span class="mono">{node.id}</span></Fact>
          </dl>
        </section>
      </div>
      <Trends node={node} now={now} />
      {node.gpus?.length ? (
        <section class="panel"><h2>GPUs</h2><div class="scroll-x"><table class="plain-table">
          <thead><tr><th>Name</th><th class="right">Busy</th><th class="right">VRAM free</th><th class="right">of</th><th class="right">Temperature</th><th class="right">Power</th></tr></thead>
          <tbody>{node.gpus.map((gpu, i) => <tr key={i}><td>{gpu.name}</td><td class="right">{percent(gpu.busy)}</td><td class="right">{bytes(gpu.vram_free_bytes)}</td><td class="right">{bytes(gpu.vram_total_bytes)}</td><td class="right">{typeof gpu.temperature_c === 'number' ? `${Math.round(gpu.temperature_c)} °C` : none}</td><td class="right">{typeof gpu.power_w === 'number' ? `${Math.round(gpu.power_w)} W` : none}</td></tr>)}</tbody>
        </table></div></section>) : null}
      <section class="panel"><h2>Models <small>{count(models.length)}, {count(loaded.size)} in memory</small><span class="grow" />{node.state === 'online' ? <PullModel fleet={[node]} to={node.name} small /> : null}</h2>
        {models.length === 0 ? <p class="quiet">None that is known.</p> : (
          <div class="scroll-x"><table class="plain-table">
            <thead><tr><th>Model</th><th>State</th><th class="right">On disk</th><th class="right">In memory</th><th class="right">Context</th><th>Unloads</th><th>Version</th>{pins.data ? <th>Pinned</th> : null}<th /></tr></thead>
            <tbody>{models.map((model) => {
              const resident = loaded.get(model.name)
              const spilled = resident && resident.size_vram !== undefined && resident.size !== undefined && resident.size_vram > 0 && resident.size_vram < resident.size
              const left = untilUnload(resident?.expires_at, now)
              return <tr key={model.name}><td><a href={href('models', model.name)}>{model.name}</a></td><td><span class="cell-name"><Mark tone={resident ? (spilled ? 'warn' : 'good') : 'none'} />{resident ? (spilled ? `${Math.round((100 * (resident.size_vram ?? 0)) / (resident.size ?? 1))} % on the GPU` : 'in memory') : 'on disk'}</span></td>
                <td class="right">{bytes(model.size)}</td><td class="right">{resident ? bytes(resident.size) : none}</td><td class="right">{count(resident?.context_length)}</td><td>{left ? (/\d/.test(left) ? `in ${left}` : left) : none}</td><td class="mono">{shortDigest(model.digest)}</td>{pins.data ? <td><PinButton model={model.name} node={node.name} pins={pins.data} again={pins.again} /></td> : null}<td class="right"><DeleteModel model={model.name} node={node.name} /></td></tr>
            })}</tbody>
          </table></div>)}
      </section>
      {node.state === 'offline' && node.since ? <p class="quiet">It has been away for {span((now - Date.parse(node.since)) / 1000)}; what is shown is what was last heard.</p> : null}
    </>
  )
}
