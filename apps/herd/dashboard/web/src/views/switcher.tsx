// Which node a frontend sends everything to: switched at once, for the next request; what runs stays where it runs.
import { useState } from 'preact/hooks'
import { ApiError, ask } from '../core/api.ts'
import { useCell } from '../core/cell.ts'
import { nodes } from '../core/live.ts'
import { usePolled } from '../core/poll.ts'
import type { Frontend } from '../core/types.ts'

const best = ''

/** What can be chosen: the members that are known, and the one in use even when it is away. */
export function choices(frontend: Frontend, known: string[]): string[] {
  const members = (frontend.members ?? known).filter((name) => known.includes(name))
  return frontend.use && !members.includes(frontend.use) ? [...members, frontend.use] : members
}

export function SwitchOne({ frontend, label, again }: { frontend: Frontend, label: string, again: () => void }) {
  const list = useCell(nodes)
  const [busy, setBusy] = useState(false)
  const [trouble, setTrouble] = useState('')
  const change = async (node: string) => {
    setBusy(true)
    setTrouble('')
    try {
      await ask<Frontend>('/herd/v1/use', { method: 'POST', body: { node: node === best ? 'auto' : node, frontend: frontend.id } })
    } catch (error) {
      setTrouble(error instanceof ApiError ? error.message : String(error))
    }
    setBusy(false)
    again()
  }
  return (
    <span class="act">
      <label class="switcher" title="From the next request on; answers that are running finish where they run">{label}
        <select aria-label={`Node for ${frontend.name ?? frontend.id}`} disabled={busy} value={frontend.use ?? best} onChange={(event) => void change(event.currentTarget.value)}>
          <option value={best}>best node</option>
          {choices(frontend, (list ?? []).map((node) => node.name)).map((name) => <option key={name} value={name}>{name}</option>)}
        </select>
      </label>
      {trouble ? <span class="act-trouble" role="alert">{trouble}</span> : null}
    </span>
  )
}

export function Switcher() {
  const { data, again } = usePolled<{ frontends: Frontend[] }>('/herd/v1/frontends', 5000)
  const [chosen, setChosen] = useState('')
  const all = data?.frontends ?? []
  const frontend = all.find((each) => each.id === chosen) ?? all[0]
  if (!frontend) {
    return null
  }
  return (
    <>
      {all.length > 1 ? (
        <select aria-label="Frontend" value={frontend.id} onChange={(event) => setChosen(event.currentTarget.value)}>
          {all.map((each) => <option key={each.id} value={each.id}>{each.name ?? each.id}</option>)}
        </select>
      ) : null}
      <SwitchOne key={frontend.id} frontend={frontend} label={all.length > 1 ? 'uses' : 'Use'} again={again} />
    </>
  )
}
