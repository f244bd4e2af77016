// A plain Ollama by its address, with the answer of its first probe.
import { useRef, useState } from 'preact/hooks'
import { ApiError, ask } from '../core/api.ts'
import { millis } from '../core/format.ts'
import { lookSoon, takeNode } from '../core/live.ts'
import type { Node } from '../core/types.ts'

export function AddNode() {
  const dialog = useRef<HTMLDialogElement>(null)
  const [url, setUrl] = useState('')
  const [name, setName] = useState('')
  const [labels, setLabels] = useState('')
  const [said, setSaid] = useState('')
  const [busy, setBusy] = useState(false)
  const add = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    setSaid('')
    try {
      const list = labels.split(',').map((label) => label.trim()).filter((label) => label !== '')
      const node = await ask<Node>('/herd/v1/nodes', { method: 'POST', body: { url: url.trim(), ...(name.trim() ? { name: name.trim() } : {}), ...(list.length ? { labels: list } : {}) } })
      takeNode(node)
      setSaid(`${node.name} is ${node.state}${node.latency_ms !== null && node.latency_ms !== undefined ? `, ${millis(node.latency_ms)}` : ''}${node.state_reason ? `: ${node.state_reason}` : ''}`)
      setUrl('')
      setName('')
      lookSoon()
    } catch (error) {
      setSaid(error instanceof ApiError ? error.message : String(error))
    }
    setBusy(false)
  }
  return (
    <>
      <button class="button" onClick={() => { setSaid(''); dialog.current?.showModal() }}>Add node</button>
      <dialog ref={dialog} aria-label="Add a node" onClick={(event) => { if (event.target === dialog.current) { dialog.current?.close() } }}>
        <h2>Add a node</h2>
        <p class="quiet">A plain Ollama, or another server that speaks its API. Nodes with <code>herd-node</code> need no adding.</p>
        <form class="form" onSubmit={add}>
          <label>Address<input required value={url} placeholder="http://192.168.1.20:11434" spellcheck={false} autocomplete="off" onInput={(event) => setUrl(event.currentTarget.value)} /></label>
          <label>Name<input value={name} placeholder="as it calls itself" spellcheck={false} autocomplete="off" onInput={(event) => setName(event.currentTarget.value)} /></label>
          <label>Labels<input value={labels} placeholder="eu, quiet" spellcheck={false} autocomplete="off" onInput={(event) => setLabels(event.currentTarget.value)} /></label>
          <p role="status" class="said">{said}</p>
          <div class="form-end"><button type="button" class="button" onClick={() => dialog.current?.close()}>Close</button><button class="button main" disabled={busy || url.trim() === ''}>{busy ? 'Asking it…' : 'Add'}</button></div>
        </form>
      </dialog>
    </>
  )
}
