// An object as JSON, to be changed or made: herd checks all of it and names the field that makes no sense.
import { useMemo, useRef, useState } from 'preact/hooks'
import { ApiError } from '../core/api.ts'
import { jsonTrouble } from '../core/dialects.ts'

interface DialogProps { title: string, button: string, start: () => Promise<string> | string, hint: string, save: (text: string) => Promise<void>, more?: { label: string, sure: string, act: () => Promise<void> } | undefined, small?: boolean }

export function JsonDialog({ title, button, start, hint, save, more, small = false }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null)
  const [text, setText] = useState('')
  const [trouble, setTrouble] = useState('')
  const [busy, setBusy] = useState(false)
  const [asked, setAsked] = useState(false)
  const wrong = useMemo(() => jsonTrouble(text || '{}'), [text])
  const attempt = async (work: () => Promise<void>, stay = false) => {
    setBusy(true)
    setTrouble('')
    try {
      await work()
      if (!stay) {
        dialog.current?.close()
      }
    } catch (error) {
      setTrouble(error instanceof ApiError ? error.message : String(error))
    }
    setBusy(false)
  }
  const open = () => {
    const first = start()
    setText(typeof first === 'string' ? first : '')
    setTrouble('')
    setAsked(false)
    dialog.current?.showModal()
    if (typeof first !== 'string') {
      void attempt(async () => setText(await first), true)
    }
  }
  return (
    <>
      <button class={`button ${small ? 'small' : ''}`} aria-label={title} onClick={open}>{button}</button>
      <dialog ref={dialog} class="wide-dialog" aria-label={title}>
        <h2>{title}</h2>
        <p class="quiet">{hint}</p>
        <form class="form" onSubmit={(event) => { event.preventDefault(); void attempt(() => save(text)) }}>
          <textarea class="mono" aria-label="Fields, JSON" aria-invalid={wrong !== null} spellcheck={false} disabled={busy} rows={16} value={text} onInput={(event) => setText(event.currentTarget.value)} />
          <p class="said trouble" role="alert">{wrong ? `Line ${wrong.line}, column ${wrong.column}: ${wrong.message}` : trouble}</p>
          <div class="form-end">{more ? <button type="button" class="button" disabled={busy} onClick={() => (asked ? void attempt(more.act) : setAsked(true))}>{asked ? more.sure : more.label}</button> : null}<span class="grow" /><button type="button" class="button" onClick={() => dialog.current?.close()}>Close</button><button class="button main" disabled={busy || wrong !== null}>Save</button></div>
        </form>
      </dialog>
    </>
  )
}
