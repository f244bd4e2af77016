// Virtual endpoints: under which names herd is called, which nodes serve there, what is allowed, limited and pinned;
// and the few changes that a person makes in a hurry. All else is in herd.toml, or in the dialog as JSON.
import { useState } from 'preact/hooks'
import { ApiError, ask } from '../core/api.ts'
import { useCell } from '../core/cell.ts'
import { count, none, plural } from '../core/format.ts'
import { allowances, endpointsOf, limitsOf, pinnedFields } from '../core/frontends.ts'
import { nodes } from '../core/live.ts'
import { usePolled } from '../core/poll.ts'
import { href } from '../core/router.ts'
import type { Frontend } from '../core/types.ts'
import { Fact, Loading, Mark, Notice, toneOf, TroubleNotice } from '../parts/basics.tsx'
import { ChangeFrontend, NewFrontend } from './frontend_change.tsx'
import { SwitchOne } from './switcher.tsx'

function Members({ frontend }: { frontend: Frontend }) {
  const known = useCell(nodes) ?? []
  const members = frontend.members ?? []
  const missing = frontend.missing ?? []
  if (members.length + missing.length === 0) {
    return <span class="cell-name"><Mark tone="warn" />no node may serve it</span>
  }
  return (
    <ul class="chips">
      {members.map((name) => { const node = known.find((each) => each.name === name); return <li key={name} class="chip" title={node?.state}><Mark tone={node ? toneOf[node.state] : 'none'} /><a class="chip-name" href={href('nodes', name)}>{name}</a></li> })}
      {missing.map((name) => <li key={name} class="chip" title="It is named here, but no such node is known"><Mark tone="bad" /><span class="chip-name">{name}</span><small>not known</small></li>)}
    </ul>
  )
}

/** Off: whoever calls it is answered 503. */
function ActiveSwitch({ frontend, again }: { frontend: Frontend, again: () => void }) {
  const [busy, setBusy] = useState(false)
  const [trouble, setTrouble] = useState('')
  const on = frontend.active !== false
  const change = async () => {
    setBusy(true)
    setTrouble('')
    try {
      await ask(`/herd/v1/frontends/${encodeURIComponent(frontend.id)}`, { method: 'PATCH', body: { active: !on } })
    } catch (error) {
      setTrouble(error instanceof ApiError ? error.message : String(error))
    }
    setBusy(false)
    again()
  }
  return <span class="act"><button class="button small" disabled={busy} aria-label={`Switch ${frontend.name ?? frontend.id} ${on ? 'off' : 'on'}`} title={on ? 'Who calls it is answered 503 from then on' : 'Serve it again'} onClick={() => void change()}>{on ? 'Switch off' : 'Switch on'}</button>
    {trouble ? <span class="act-trouble" role="alert">{trouble}</span> : null}</span>
}

function FrontendCard({ frontend, again }: { frontend: Frontend, again: () => void }) {
  const on = frontend.active !== false
  const pins = pinnedFields(frontend)
  const limits = limitsOf(frontend)
  const labels = frontend.labels_required ?? []
  const required = frontend.required_models ?? []
  return (
    <section class={`panel frontend ${on ? '' : 'off'}`} aria-label={`Frontend ${frontend.name ?? frontend.id}`}>
      <h2>{frontend.name ?? frontend.id}<span class={`badge ${on ? 'good' : 'hold'}`}><Mark tone={on ? 'good' : 'hold'} />{on ? 'serves' : 'off'}</span>
        {frontend.use ? <span class="badge info"><Mark tone="info" />all to {frontend.use}</span> : null}
        <small>{frontend.source === 'managed' ? 'changed at run time' : frontend.source}</small><span class="grow" />
        <SwitchOne frontend={frontend} label="Use" again={again} />{frontend.source === 'built-in' ? null : <ActiveSwitch frontend={frontend} again={again} />}<ChangeFrontend frontend={frontend} again={again} /></h2>
      <dl class="facts roomier">
        <Fact label="Called by">{endpointsOf(frontend).map((each) => <span key={each.text} class="line"><span class="mono">{each.text}</span>{each.note ? <small> {each.note}</small> : null}</span>)}</Fact>
        <Fact label="Nodes"><Members frontend={frontend} /></Fact>
        <Fact label="Running now">{count(frontend.in_flight)}</Fact>
        <Fact label="Chooses by" title="docs/FRONTENDS.md, Choosing among nodes">{frontend.policy ?? none}{frontend.sticky ? `, conversations stay for ${frontend.sticky_ttl ?? '30m'}` : ''}</Fact>
        <Fact label="Limits">{limits.length ? limits.join(', ') : 'none of its own'}</Fact>
        {labels.length ? <Fact label="Needs the labels">{labels.join(', ')}</Fact> : null}
        {required.length ? <Fact label="Required models">{required.map((model) => <a key={model} class="inline line" href={href('models', model)}>{model}</a>)}</Fact> : null}
      </dl>
      <ul class="allows" aria-label="Allowed">{allowances(frontend).map(([text, allowed]) => <li key={text} class={allowed ? '' : 'quiet'}><Mark tone={allowed ? 'good' : 'none'} />{text}<span class="sr">{allowed ? ' allowed' : ' not allowed'}</span></li>)}</ul>
      {pins.length ? <><h3 class="sub">Pinned in every body <small>what a client says of these is replaced</small></h3>
        <div class="scroll-x"><table class="plain-table"><tbody>{pins.map((pin) => <tr key={`${pin.where} ${pin.path}`}><td class="quiet">{pin.where}</td><td class="mono">{pin.path}</td><td class="mono">{pin.value}</td></tr>)}</tbody></table></div></> : null}
    </section>
  )
}

export function FrontendsView() {
  const { data, error, again } = usePolled<{ frontends: Frontend[] }>('/herd/v1/frontends', 3000)
  const [words, setWords] = useState('')
  if (!data) {
    return error ? <TroubleNotice error={error} what="the frontends" again={again} /> : <Loading what="the frontends" />
  }
  const own = data.frontends.filter((each) => each.source !== 'built-in')
  const wanted = words.trim().toLowerCase()
  const shown = data.frontends.filter((each) => JSON.stringify([each.name, each.id, each.hostnames, each.members]).toLowerCase().includes(wanted))
  return (
    <>
      <h1 class="sr">Frontends</h1>
      <div class="tools">
        {data.frontends.length > 3 ? <input type="search" placeholder="Filter by name, host, node" aria-label="Filter frontends" value={words} onInput={(event) => setWords(event.currentTarget.value)} /> : null}
        <span class="grow quiet">{own.length === 0 ? 'Every host name is served by all nodes.' : `${plural(own.length, 'frontend')}, found by the name that a client calls herd by`}</span>
        <NewFrontend again={again} />
      </div>
      {shown.length === 0 ? <Notice title={data.frontends.length ? 'No frontend fits the filter.' : 'No frontend yet.'}>A frontend gives a team, a program or a model a name of its own, with its nodes, limits and pinned settings.</Notice>
        : shown.map((each) => <FrontendCard key={each.id} frontend={each} again={again} />)}
    </>
  )
}
