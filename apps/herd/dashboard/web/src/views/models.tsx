// Which model is where: in memory, on disk, in how many versions, and where else it would fit.
import { useMemo, useState } from 'preact/hooks'
import { useCell } from '../core/cell.ts'
import { bytes, count, none, plural, shortDigest } from '../core/format.ts'
import { type Fit, fitOf, fitWords } from '../core/fit.ts'
import { nodes } from '../core/live.ts'
import { usePolled } from '../core/poll.ts'
import { isPinned } from '../core/pins.ts'
import { go, href, place } from '../core/router.ts'
import type { CatalogModel, Node, Pins } from '../core/types.ts'
import { Loading, Mark, Notice, type Tone, TroubleNotice } from '../parts/basics.tsx'
import { type Column, Table } from '../parts/table.tsx'
import { DeleteModel, PullModel } from './model_change.tsx'
import { PinButton, Pinned, PinMark } from './pins.tsx'
import { Required } from './required.tsx'

const sizeOf = (model: CatalogModel) => Math.max(0, ...model.nodes.map((each) => each.size))
const inMemory = (model: CatalogModel) => model.nodes.filter((each) => each.loaded)
const flying = (model: CatalogModel) => model.nodes.reduce((sum, each) => sum + each.in_flight, 0)
const conflict = (model: CatalogModel) => model.digests.length > 1

const columnsWith = (pins: Pins | null): Column<CatalogModel>[] => [
  { key: 'name', label: 'Model', width: 'minmax(9rem,2fr)', narrow: 'minmax(6rem,2fr)', show: (m) => <span class="cell-name"><Mark tone={inMemory(m).length ? 'good' : 'none'} /><span class="cut">{m.name}</span>{isPinned(pins, m.name) ? <PinMark /> : null}</span>, sort: (m) => m.name },
  { key: 'nodes', label: 'Nodes', width: '4rem', right: true, show: (m) => count(m.nodes.length), sort: (m) => m.nodes.length },
  { key: 'where', label: 'On', width: 'minmax(8rem,2.500fr)', from: 640, show: (m) => m.nodes.map((each) => each.node).join(', ') },
  { key: 'memory', label: 'In memory', width: 'minmax(6rem,1.400fr)', show: (m) => inMemory(m).map((each) => each.node).join(', ') || none, sort: (m) => inMemory(m).length },
  { key: 'flying', label: 'Running', width: '5rem', right: true, from: 520, show: (m) => count(flying(m)), sort: flying },
  { key: 'size', label: 'Size', width: '5.500rem', right: true, from: 380, show: (m) => bytes(sizeOf(m)), sort: sizeOf },
  { key: 'digest', label: 'Version', width: '9.500rem', from: 820, show: (m) => (conflict(m) ? <span class="cell-name"><Mark tone="warn" />{plural(m.digests.length, 'version')}</span> : <span class="mono">{shortDigest(m.digests[0])}</span>), sort: (m) => m.digests.length }
]

const fitTone: Record<Fit, Tone> = { loaded: 'good', gpu: 'good', 'gpu-after': 'info', ram: 'warn', no: 'bad', unknown: 'none' }

function ModelDetail({ model, fleet, pins, again }: { model: CatalogModel, fleet: Node[], pins: Pins | null, again: () => void }) {
  const holders = new Map(model.nodes.map((each) => [each.node, each]))
  const size = sizeOf(model)
  const misfits = fleet.filter((node) => holders.has(node.name) && fitOf(node, model.name, holders.get(node.name)?.size || size) === 'no')
  const others = fleet.filter((node) => !holders.has(node.name))
  return (
    <section class="panel" aria-label={model.name}>
      <h2>{model.name} <small>{bytes(size)}</small><span class="grow" /><PullModel fleet={fleet.filter((node) => !holders.has(node.name))} model={model.name} small /><a class="button small" href={href('explorer', '', { model: model.name })}>Try it</a><a class="button small" href={href('requests', '', { model: model.name })}>Its requests</a></h2>
      {conflict(model) ? <Notice tone="warn" title="Nodes hold different versions under this name.">Answers differ by node. Pull it again where it is old.</Notice> : null}
      <div class="scroll-x"><table class="plain-table">
        <thead><tr><th>Node</th><th>State</th><th class="right">Size</th><th class="right">Context</th><th class="right">Running</th><th class="right">Slots</th><th>Version</th>{pins ? <th>Pinned</th> : null}<th /></tr></thead>
        <tbody>{model.nodes.map((each) => (
          <tr key={each.node}><td><a href={href('nodes', each.node)}>{each.node}</a></td><td><span class="cell-name"><Mark tone={each.loaded ? 'good' : 'none'} />{each.loaded ? 'in memory' : 'on disk'}</span></td>
            <td class="right">{bytes(each.size)}</td><td class="right">{count(each.context_length)}</td><td class="right">{count(each.in_flight)}</td><td class="right">{count(each.slots)}</td><td class="mono">{shortDigest(each.digest)}</td>{pins ? <td><PinButton model={model.name} node={each.node} pins={pins} again={again} /></td> : null}<td class="right"><DeleteModel model={model.name} node={each.node} /></td></tr>
        ))}</tbody>
      </table></div>
      {misfits.length ? <Notice tone="warn" title={`It does not fit on ${misfits.map((node) => node.name).join(', ')}.`}>{misfits.length > 1 ? 'These nodes have' : 'That node has'} it on disk, but too little memory to run it (estimated from its size).</Notice> : null}
      {others.length ? <>
        <h3 class="sub">Where else it would fit <small>estimated from its size</small></h3>
        <ul class="fits">{others.map((node) => { const fit = fitOf(node, model.name, size); return <li key={node.id}><Mark tone={fitTone[fit]} /><b>{node.name}</b><span class="quiet">{fitWords[fit]}</span></li> })}</ul>
      </> : null}
    </section>
  )
}

export function ModelsView() {
  const { id } = useCell(place)
  const fleet = useCell(nodes) ?? []
  const { data, error, again } = usePolled<{ models: CatalogModel[] }>('/herd/v1/models', 3000)
  const pins = usePolled<Pins>('/herd/v1/pins', 3000)
  const columns = useMemo(() => columnsWith(pins.data), [pins.data])
  const [words, setWords] = useState('')
  const [only, setOnly] = useState('all')
  const rows = useMemo(() => {
    const wanted = words.trim().toLowerCase()
    return [...(data?.models ?? [])].sort((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true })).filter((model) => (only === 'all' || (only === 'memory' ? inMemory(model).length > 0 : conflict(model)))
      && (wanted === '' || model.name.toLowerCase().includes(wanted) || model.nodes.some((each) => each.node.toLowerCase().includes(wanted))))
  }, [data, words, only])
  if (!data) {
    return error ? <TroubleNotice error={error} what="the models" again={again} /> : <Loading what="the models" />
  }
  const chosen = data.models.find((model) => model.name === id)
  const conflicts = data.models.filter(conflict).length
  if (data.models.length === 0) {
    return <Notice title="No model yet." action={<PullModel fleet={fleet} />}>The nodes of this fleet hold none. Pull one here, or with <code>ollama pull</code> through herd.</Notice>
  }
  return (
    <>
      <h1 class="sr">Models</h1>
      <div class="tools">
        <input type="search" placeholder="Filter by model or node" aria-label="Filter models" value={words} onInput={(event) => setWords(event.currentTarget.value)} />
        <select aria-label="Which" value={only} onChange={(event) => setOnly(event.currentTarget.value)}><option value="all">Every model</option><option value="memory">In memory</option><option value="conflict">Different versions</option></select>
        <span class="grow quiet">{plural(data.models.length, 'model')}, {count(data.models.filter((model) => inMemory(model).length).length)} in memory{conflicts ? `, ${count(conflicts)} in different versions` : ''}{error ? ` · ${error.message}` : ''}</span>
        <PullModel fleet={fleet} />
      </div>
      <Pinned pins={pins.data} again={pins.again} />
      <Required />
      {chosen ? <ModelDetail model={chosen} fleet={fleet} pins={pins.data} again={pins.again} /> : null}
      <Table label="Models" columns={columns} rows={rows} id={(model) => model.name} open={(model) => go(href('models', model.name === id ? '' : model.name))} empty="No model fits the filter." />
    </>
  )
}
