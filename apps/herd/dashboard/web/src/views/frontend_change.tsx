// A frontend as JSON, to be changed or made.
import { useRef } from 'preact/hooks'
import { ask } from '../core/api.ts'
import { changesOf, settable } from '../core/frontends.ts'
import type { Frontend } from '../core/types.ts'
import { JsonDialog } from '../parts/json_dialog.tsx'

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
