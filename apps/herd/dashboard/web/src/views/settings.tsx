// What herd runs with and where each setting came from; and this browser's own settings.
import { useMemo, useState } from 'preact/hooks'
import { apiKey } from '../core/api.ts'
import { useCell } from '../core/cell.ts'
import { span } from '../core/format.ts'
import { retryNow, status } from '../core/live.ts'
import { usePolled } from '../core/poll.ts'
import { type Theme, theme } from '../core/theme.ts'
import type { Config } from '../core/types.ts'
import { Choice, Loading, TroubleNotice } from '../parts/basics.tsx'

/** Values, lists of them, and the tables of [[node]] and its like. */
export function valueText(value: unknown): string {
  if (Array.isArray(value)) {
    return value.length ? value.map(valueText).join(value.some((each) => typeof each === 'object') ? '; ' : ', ') : 'none'
  }
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).map(([key, each]) => `${key} = ${valueText(each)}`).join(', ')
  }
  return value === '' || value === null || value === undefined ? 'not set' : String(value)
}

function ThisBrowser() {
  const colours = useCell(theme)
  const key = useCell(apiKey)
  const [draft, setDraft] = useState(key)
  const who = usePolled<{ key: string | null, session: boolean }>('/herd/v1/whoami', 30_000).data
  const leave = async () => {
    await fetch('/dashboard/logout', { method: 'POST', redirect: 'manual' })
    location.assign('/dashboard/login')
  }
  const keep = (event: Event) => {
    event.preventDefault()
    apiKey.set(draft.trim())
    retryNow()
  }
  return (
    <section class="panel"><h2>This browser</h2>
      <div class="pair"><span>Colours</span><Choice<Theme> label="Colours" value={colours} options={[['auto', 'As the system'], ['light', 'Light'], ['dark', 'Dark']]} onChange={(value) => theme.set(value)} /></div>
      {who?.session ? <div class="pair"><span>Logged in</span><span class="act"><b>{who.key}</b><button class="button" onClick={leave}>Log out</button></span></div> : null}
      <form class="pair" onSubmit={keep}><label for="key">Key</label>
        <span class="act"><input id="key" type="password" autocomplete="off" value={draft} placeholder="none" onInput={(event) => setDraft(event.currentTarget.value)} /><button class="button" disabled={draft.trim() === key}>{draft.trim() === '' && key ? 'Forget' : 'Keep'}</button></span></form>
      <p class="quiet">The key is kept in this browser and sent to this herd alone.</p>
    </section>
  )
}

export function SettingsView() {
  const { data, error, again } = usePolled<Config>('/herd/v1/config', 30_000)
  const now = useCell(status)
  const [words, setWords] = useState('')
  const [changed, setChanged] = useState(false)
  const sections = useMemo(() => {
    const wanted = words.trim().toLowerCase()
    const groups = new Map<string, [string, string, string][]>()
    for (const [key, entry] of Object.entries(data ?? {})) {
      if ((changed && entry.from === 'default') || (wanted && !`${key} ${valueText(entry.value)}`.toLowerCase().includes(wanted))) {
        continue
      }
      const dot = key.lastIndexOf('.')
      const section = dot < 0 ? '' : key.slice(0, dot)
      groups.set(section, [...(groups.get(section) ?? []), [key.slice(dot + 1), valueText(entry.value), entry.after_restart === undefined ? entry.from : `${valueText(entry.after_restart)} after a restart`]])
    }
    return [...groups]
  }, [data, words, changed])
  return (
    <>
      <h1 class="sr">Settings</h1>
      <div class="settings">
        <div class="side">
          <ThisBrowser />
          <section class="panel"><h2>This herd</h2><p>{now ? <>Version {now.version}, up {span(now.uptime_s)}.</> : 'Not heard of yet.'}</p>
            <p class="quiet">Settings are changed in the file and applied by <code>herd reload</code>; <code>herd --check-config</code> checks them first.</p></section>
        </div>
        <section class="panel config"><h2>Settings in force</h2>
          {!data ? (error ? <TroubleNotice error={error} what="the settings" again={again} /> : <Loading what="the settings" />) : <>
            <div class="tools"><input type="search" placeholder="Filter" aria-label="Filter settings" value={words} onInput={(event) => setWords(event.currentTarget.value)} />
              <label class="check"><input type="checkbox" checked={changed} onChange={(event) => setChanged(event.currentTarget.checked)} />Only what is not a default</label></div>
            {sections.length === 0 ? <p class="quiet">{changed && !words ? 'Everything is as built in.' : 'No setting fits.'}</p> : null}
            {sections.map(([section, rows]) => (
              <div key={section} class="config-group">{section ? <h3>[{section}]</h3> : null}
                <dl>{rows.map(([key, value, from]) => <div key={key} class={from === 'default' ? '' : 'own'}><dt>{key}</dt><dd>{value}</dd><dd class="from">{from}</dd></div>)}</dl></div>
            ))}
          </>}
        </section>
      </div>
    </>
  )
}
