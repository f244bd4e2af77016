// A frontend as JSON, to be changed or made: herd checks all of it and names the field that makes no sense.
import { useMemo, useRef, useState } from 'preact/hooks'
import { ApiError, ask } from '../core/api.ts'
import { jsonTrouble } from '../core/dialects.ts'
import { changesOf, settable } from '../core/frontends.ts'
import type { Frontend } from '../core/types.ts'

interface DialogProps { title: string, button: string, start: () => string, hint: string, save: (text: string) => Promise<void>, more?: { label: string, sure: string, act: () => Promise<void> } | undefined, small?: boolean }

function JsonDialog({ title, button, start, hint, save, more, small = false }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [text, setText] = useState('')
  const [trouble, setTrouble] = useState('')
  const [busy, setBusy] = useState(false)
  const [asked, setAsked] = useState(false)
  const wrong = useMemo(() => jsonTrouble(text || '{}'), [text])
  const attempt = async (work: () => Promise<void>) => {
    setBusy(true)
    setTrouble('')
    try {
      await work()
      dialog.current?.close()
    } catch (error) {
      setTrouble(error instanceof ApiError ? error.message : String(error))
    }
    setBusy(false)
  }
  return (
    <>
      <button class={`button ${small ? 'small' : ''}`} aria-label={title} onClick={() => { setText(start()); setTrouble(''); setAsked(false); dialog.current?.showModal() }}>{button}</button>
      <dialog ref={dialog} class="wide-dialog" aria-label={title}>
        <h2>{title}</h2>
        <p class="quiet">{hint}</p>
        <form class="form" onSubmit={(event) => { event.preventDefault(); void attempt(() => save(text)) }}>
          <textarea class="mono" aria-label="Fields, JSON" aria-invalid={wrong !== null} spellcheck={false} rows={16} value={text} onInput={(event) => setText(event.currentTarget.value)} />
          <p class="said trouble" role="alert">{wrong ? `Line ${wrong.line}, column ${wrong.column}: ${wrong.message}` : trouble}</p>
          <div class="form-end">{more ? <button type="button" class="button" disabled={busy} onClick={() => (asked ? void attempt(more.act) : setAsked(true))}>{asked ? more.sure : more.label}</button> : null}<span class="grow" /><button type="button" class="button" onClick={() => dialog.current?.close()}>Close</button><button class="button main" disabled={busy || wrong !== null}>Save</button></div>
        </form>
      </dialog>
    </>
  )
}

export function ChangeFrontend({ frontend, again }: { frontend: Frontend, again: () => void }) {
  const before = useRef<Record<string, unknown>>({})
  const path = `/herd/v1/frontends/${encodeURIComponent(frontend.id)}`
  const remove = frontend.source === 'managed' ? { label: 'Forget what was set here', sure: 'Yes: as in herd.toml, or gone', act: async () => { await removeFrontend(path); again() } } : undefined
  if (frontend.source === 'built-in') {
    return null
  }
  return <JsonDialog small title={`Change ${frontend.name ?? frontend.id}`} button="Edit" hint="What is taken out gets its default. It holds from the next request on and survives a restart; docs/FRONTENDS.md lists the fields."
    start={() => { before.current = settable(frontend); return JSON.stringify(before.current, null, 2) }} more={remove}
    save={async (text) => { await ask(path, { method: 'PATCH', body: changesOf(before.current, JSON.parse(text) as Record<string, unknown>) }); again() }} />
}

/** One of herd.toml is again as it stands there; one that was made here is gone. */
async function removeFrontend(path: string): Promise<void> {
  await ask(path, { method: 'DELETE' })
}

export function NewFrontend({ again }: { again: () => void }) {
  return <JsonDialog title="New frontend" button="New frontend" hint="A name, and the host names that clients call it by; path_prefix serves it as /f/ID too, without DNS."
    start={() => JSON.stringify({ name: '', hostnames: [], path_prefix: true, nodes: ['*'], allow_embeddings: true }, null, 2)}
    save={async (text) => { await ask('/herd/v1/frontends', { method: 'POST', body: JSON.parse(text) as unknown }); again() }} />
}
