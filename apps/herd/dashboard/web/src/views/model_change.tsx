// Pulling a model to a node and deleting one: Ollama's own operations, sent through herd with the node named.
import { useEffect, useRef, useState } from 'preact/hooks'
import { blank, type Progress, send } from '../core/call.ts'
import { endpointOf } from '../core/dialects.ts'
import type { Node } from '../core/types.ts'

const failed = (error: unknown): Progress => ({ ...blank(), done: true, error: error instanceof Error ? error.message : String(error) })

function outcomeText(now: Progress): string {
  return now.error || (now.status >= 400 ? `herd answered with status ${now.status}` : '')
}

/** A dialog with its button; the pull goes on while it is open and ends with it. */
export function PullModel({ fleet, model = '', to = '', small = false }: { fleet: Node[], model?: string, to?: string, small?: boolean }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [name, setName] = useState(model)
  const [node, setNode] = useState(to)
  const [now, setNow] = useState<Progress | null>(null)
  const [running, setRunning] = useState<AbortController | null>(null)
  useEffect(() => () => running?.abort(), [running])
  const pull = async (event: Event) => {
    event.preventDefault()
    const stop = new AbortController()
    setRunning(stop)
    setNow(blank())
    const body = JSON.stringify({ model: name.trim(), stream: true })
    const made = await send({ endpoint: endpointOf('pull'), body, headers: node ? { 'X-Herd-Node': node } : {} }, stop.signal, setNow).catch(failed)
    setNow(made)
    setRunning(null)
  }
  const trouble = now?.done ? outcomeText(now) : ''
  return (
    <>
      <button class={`button ${small ? 'small' : ''}`} onClick={() => { setNow(null); dialog.current?.showModal() }}>{model ? 'Pull elsewhere' : 'Pull a model'}</button>
      <dialog ref={dialog} aria-label="Pull a model" onClose={() => running?.abort()}>
        <h2>Pull a model</h2>
        <form class="form" onSubmit={pull}>
          <label>Model<input required value={name} placeholder="llama3.2:3b" spellcheck={false} autocomplete="off" onInput={(event) => setName(event.currentTarget.value)} /></label>
          <label>To<select value={node} onChange={(event) => setNode(event.currentTarget.value)}><option value="">a node that herd chooses</option>{fleet.filter((each) => each.state === 'online').map((each) => <option key={each.id}>{each.name}</option>)}</select></label>
          <pre class="pull-progress" role="status">{now ? now.text || (now.done ? '' : 'asking…') : ''}{trouble ? <span class="trouble">{trouble}</span> : null}</pre>
          <p class="quiet">Closing this stops the pull; what was fetched is kept by the node.</p>
          <div class="form-end"><button type="button" class="button" onClick={() => dialog.current?.close()}>{running ? 'Stop and close' : 'Close'}</button><button class="button main" disabled={running !== null || name.trim() === ''}>{running ? 'Pulling…' : 'Pull'}</button></div>
        </form>
      </dialog>
    </>
  )
}

/** Deletes a model from one node once its name was typed. */
export function DeleteModel({ model, node }: { model: string, node: string }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [typed, setTyped] = useState('')
  const [said, setSaid] = useState('')
  const [busy, setBusy] = useState(false)
  const remove = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    const made = await send({ endpoint: endpointOf('delete'), body: JSON.stringify({ model }), headers: { 'X-Herd-Node': node } }, AbortSignal.timeout(60_000), () => undefined).catch(failed)
    setBusy(false)
    const trouble = outcomeText(made)
    setSaid(trouble || `${model} is no longer on ${node}.`)
    if (!trouble) {
      setTyped('')
      setTimeout(() => dialog.current?.close(), 900)
    }
  }
  return (
    <>
      <button class="button small" aria-label={`Delete ${model} from ${node}`} onClick={() => { setSaid(''); setTyped(''); dialog.current?.showModal() }}>Delete</button>
      <dialog ref={dialog} aria-label={`Delete ${model} from ${node}`}>
        <h2>Delete {model} from {node}?</h2>
        <p class="quiet">The node has to pull it again to have it back. Type its name to go on.</p>
        <form class="form" onSubmit={remove}>
          <label>Name<input value={typed} placeholder={model} spellcheck={false} autocomplete="off" onInput={(event) => setTyped(event.currentTarget.value)} /></label>
          <p class="said" role="status">{said}</p>
          <div class="form-end"><button type="button" class="button" onClick={() => dialog.current?.close()}>Keep it</button><button class="button main" disabled={busy || typed !== model}>Delete</button></div>
        </form>
      </dialog>
    </>
  )
}
