// Models that stay in memory, while any is pinned: where each stands, and why it does not where it does not.
import { useState } from 'preact/hooks'
import { ApiError, ask } from '../core/api.ts'
import { count, none, plural, span } from '../core/format.ts'
import { pinBehind, pinnedOn, pinPath } from '../core/pins.ts'
import { href } from '../core/router.ts'
import type { Pin, Pins, PinState } from '../core/types.ts'
import { Mark, type Tone } from '../parts/basics.tsx'

const tones: Record<PinState['state'], Tone> = { resident: 'good', loading: 'info', waiting: 'hold', failed: 'bad', absent: 'warn' }

function words(row: PinState): string {
  const next = row.next_try ? Math.max(0, (Date.parse(row.next_try) - Date.now()) / 1000) : null
  return { resident: 'in memory', loading: 'is being loaded', waiting: 'waits for its turn', absent: 'not there', failed: `failed${(row.failures ?? 0) > 1 ? ` ${count(row.failures)} times` : ''}${next === null ? '' : `, again in ${span(next)}`}` }[row.state]
}

/** A small pin, told in words to who does not see it. */
export function PinMark({ title = 'Pinned: herd keeps it in memory' }: { title?: string }) {
  return <span class="pin" title={title}><svg viewBox="0 0 12 12" aria-hidden="true"><path d="M4 1h4L7.500 4.500 9.500 7H2.500L4.500 4.500ZM6 7v4.500" /></svg><span class="sr">pinned</span></span>
}

/** Does one thing to the pins, and says what herd says against it. */
function usePinChange(again: () => void): { busy: boolean, trouble: string, change: (path: string, method: string, body?: unknown) => Promise<void> } {
  const [busy, setBusy] = useState(false)
  const [trouble, setTrouble] = useState('')
  const change = async (path: string, method: string, body?: unknown) => {
    setBusy(true)
    setTrouble('')
    try {
      await ask(path, { method, body })
    } catch (error) {
      setTrouble(error instanceof ApiError ? error.message : String(error))
    }
    setBusy(false)
    again()
  }
  return { busy, trouble, change }
}

export function Unpin({ pin, again }: { pin: Pin | undefined, again: () => void }) {
  const { busy, trouble, change } = usePinChange(again)
  if (!pin) {
    return null
  }
  if (pin.source !== 'managed') {
    return <span class="quiet" title="Change it there, then herd reload">in {pin.source}</span>
  }
  return <span class="act"><button class="button small" disabled={busy} aria-label={`Unpin ${pin.model}${pin.node ? ` from ${pin.node}` : ''}`} title="It may be unloaded again; nothing is unloaded now" onClick={() => void change(pinPath(pin), 'DELETE')}>Unpin</button>
    {trouble ? <span class="act-trouble" role="alert">{trouble}</span> : null}</span>
}

/** Pins the model to that node, or says that it is pinned there. */
export function PinButton({ model, node, pins, again }: { model: string, node: string, pins: Pins, again: () => void }) {
  const { busy, trouble, change } = usePinChange(again)
  const state = pinnedOn(pins, model, node)
  if (state) {
    return <span class="cell-name"><PinMark title={`Pinned: ${words(state)}`} /><Unpin pin={pinBehind(pins, state)} again={again} /></span>
  }
  return <span class="act"><button class="button small" disabled={busy} aria-label={`Pin ${model} to ${node}`} title="Load it there and keep it in memory" onClick={() => void change('/herd/v1/pins', 'POST', { model, node })}>Pin</button>
    {trouble ? <span class="act-trouble" role="alert">{trouble}</span> : null}</span>
}

export function Pinned({ pins, again }: { pins: Pins | null, again: () => void }) {
  if (!pins || pins.pins.length === 0) {
    return null
  }
  const there = pins.models.filter((row) => row.state === 'resident').length
  const order = [...pins.models].sort((a, b) => Number(a.state === 'resident') - Number(b.state === 'resident') || a.model.localeCompare(b.model))
  return (
    <section class="panel" aria-label="Pinned models"><h2>Pinned <small>{plural(pins.pins.length, 'pin')}, {count(there)} of {plural(pins.models.length, 'copy', 'copies')} in memory</small></h2>
      <div class="scroll-x"><table class="plain-table"><thead><tr><th>Model</th><th>Node</th><th>State</th><th>Why</th><th /></tr></thead>
        <tbody>{order.map((row, i) => <tr key={`${row.model} ${row.node_id ?? i}`}><td><a href={href('models', row.model)}>{row.model}</a></td><td>{row.node ? <a href={href('nodes', row.node)}>{row.node}</a> : none}</td>
          <td><span class="cell-name"><Mark tone={tones[row.state]} />{words(row)}</span></td><td>{row.reason || none}</td><td class="right"><Unpin pin={pinBehind(pins, row)} again={again} /></td></tr>)}</tbody></table></div>
    </section>
  )
}
