// The settings of a node as JSON: weight, tier, models it may serve, limits, pins, labels; of one that was added at run time
// also how it is reached.
import { useRef } from 'preact/hooks'
import { ask } from '../core/api.ts'
import { changesOf } from '../core/frontends.ts'
import { lookSoon } from '../core/live.ts'
import type { Node } from '../core/types.ts'
import { JsonDialog } from '../parts/json_dialog.tsx'

export function ChangeNode({ node }: { node: Node }) {
  const before = useRef<Record<string, unknown>>({})
  const path = `/herd/v1/nodes/${encodeURIComponent(node.id)}/settings`
  const start = async () => {
    const { node: _, source: __, created: ___, updated: ____, ...settings } = await ask<Record<string, unknown>>(path)
    before.current = settings
    return JSON.stringify(settings, null, 2)
  }
  return <JsonDialog small title={`Settings of ${node.name}`} button="Settings" hint="What is taken out gets its default. It holds from the next request on and survives a restart; docs/FRONTENDS.md and docs/NODES.md list the fields."
    start={start} more={{ label: 'Forget what was set here', sure: 'Yes: as in herd.toml, or nothing', act: async () => { await ask(path, { method: 'DELETE' }); lookSoon() } }}
    save={async (text) => { await ask(path, { method: 'PATCH', body: changesOf(before.current, JSON.parse(text) as Record<string, unknown>) }); lookSoon() }} />
}
