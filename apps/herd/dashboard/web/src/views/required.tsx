// Models that nodes are to have, while any is required: what is there, what is on its way, what failed and why.
import { useState } from 'preact/hooks'
import { ApiError, ask } from '../core/api.ts'
import { count, none, span } from '../core/format.ts'
import { usePolled } from '../core/poll.ts'
import { href } from '../core/router.ts'
import type { RequiredState, Sync } from '../core/types.ts'
import { Mark, type Tone } from '../parts/basics.tsx'

const tones: Record<RequiredState['state'], Tone> = { present: 'good', missing: 'none', queued: 'hold', pulling: 'info', failed: 'bad' }

function words(row: RequiredState): string {
  const next = row.next_try ? Math.max(0, (Date.parse(row.next_try) - Date.now()) / 1000) : null
  return row.state === 'pulling' ? `pulling, ${row.percent ?? 0} %` : row.state === 'failed' ? `failed${(row.failures ?? 0) > 1 ? ` ${count(row.failures)} times` : ''}${next === null ? '' : `, again in ${span(next)}`}` : row.state
}

export function Required() {
  const { data, again } = usePolled<Sync>('/herd/v1/sync', 3000)
  const [trouble, setTrouble] = useState('')
  if (!data || data.required.length === 0) {
    return null
  }
  const there = data.models.filter((row) => row.state === 'present').length
  const open = data.models.filter((row) => row.state !== 'present')
  const retry = async () => {
    setTrouble('')
    try {
      await ask('/herd/v1/sync/retry', { method: 'POST' })
      again()
    } catch (error) {
      setTrouble(error instanceof ApiError ? error.message : String(error))
    }
  }
  return (
    <section class="panel" aria-label="Required models"><h2>Required <small>{count(there)} of {count(data.models.length)} there</small><span class="grow" />
      {open.some((row) => row.state === 'failed') ? <button class="button small" onClick={retry}>Try again now</button> : null}{trouble ? <span class="act-trouble" role="alert">{trouble}</span> : null}</h2>
      {open.length === 0 ? <p class="quiet">Every node that is to have a model has it.</p> : (
        <div class="scroll-x"><table class="plain-table"><thead><tr><th>Model</th><th>Node</th><th>State</th><th>Why</th></tr></thead>
          <tbody>{open.map((row) => <tr key={`${row.model} ${row.node_id}`}><td><a href={href('models', row.model)}>{row.model}</a></td><td><a href={href('nodes', row.node)}>{row.node}</a></td>
            <td><span class="cell-name"><Mark tone={tones[row.state]} />{words(row)}</span></td><td>{row.reason || none}</td></tr>)}</tbody></table></div>)}
    </section>
  )
}
