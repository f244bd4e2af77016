// The frame: navigation, the state of the connection, the keys, and the view the address names.
import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import { useCell } from './core/cell.ts'
import { span } from './core/format.ts'
import { health, link, nodes, retryNow, second, status } from './core/live.ts'
import { go, href, place } from './core/router.ts'
import { nextTheme, theme } from './core/theme.ts'
import { Mark, Notice, type Tone } from './parts/basics.tsx'
import { BenchmarksView, BenchmarkView } from './views/benchmarks.tsx'
import { ExplorerView } from './views/explorer.tsx'
import { FleetView } from './views/fleet.tsx'
import { FrontendsView } from './views/frontends.tsx'
import { HealthView } from './views/health.tsx'
import { ModelsView } from './views/models.tsx'
import { NodeView } from './views/node.tsx'
import { RequestView } from './views/request.tsx'
import { RequestsView } from './views/requests.tsx'
import { SettingsView } from './views/settings.tsx'
import { UsageView } from './views/usage.tsx'

interface Entry { view: string, label: string, key: string, icon: ComponentChildren }

const entries: Entry[] = [
  { view: '', label: 'Fleet', key: 'f', icon: <path d="M4 5h16v5H4zM4 14h16v5H4zM7.500 7.500h.01M7.500 16.500h.01M11 7.500h6M11 16.500h6" /> },
  { view: 'models', label: 'Models', key: 'm', icon: <path d="m12 3 8 4.500v9L12 21l-8-4.500v-9zM4 7.500l8 4.500 8-4.500M12 12v9" /> },
  { view: 'frontends', label: 'Frontends', key: 'n', icon: <path d="M4 5h16v4H4zM8 9v4m8-4v4M4 17h5v3H4zM15 17h5v3h-5zM8 13l-1.500 4M16 13l1.500 4" /> },
  { view: 'requests', label: 'Requests', key: 'r', icon: <path d="M4 7h10m0 0-3-3m3 3-3 3M20 17H10m0 0 3-3m-3 3 3 3" /> },
  { view: 'usage', label: 'Usage', key: 'u', icon: <path d="M4 20V4M4 20h16M8 16v-4M12 16V8M16 16v-6" /> },
  { view: 'health', label: 'Health', key: 'h', icon: <path d="M3 12h4l2.500-6 4.500 12 2.500-6H21" /> },
  { view: 'explorer', label: 'Explorer', key: 'e', icon: <path d="m5 7 5 5-5 5M12 17h7" /> },
  { view: 'benchmarks', label: 'Bench', key: 'b', icon: <path d="M12 13l4-4M5 18a9 9 0 1 1 14 0M12 13h.01" /> },
  { view: 'settings', label: 'Settings', key: 's', icon: <path d="M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4" /> }
]

const Icon = ({ children }: { children: ComponentChildren }) => <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">{children}</svg>

const words: Record<string, [Tone, string]> = {
  starting: ['none', 'connecting'], live: ['good', 'live'], polling: ['good', 'every second'],
  lost: ['bad', 'no connection'], denied: ['warn', 'not allowed'], paused: ['hold', 'paused']
}

function Connection() {
  const now = useCell(link)
  useCell(second)
  const silent = now.heard > 0 && Date.now() - now.heard > 6000
  const [tone, text] = silent && now.state !== 'denied' ? ['bad', 'stale'] as const : words[now.state] ?? words.lost as [Tone, string]
  return <span class="connection" title={now.detail || 'The page follows herd’s events'} role="status"><Mark tone={tone} /><span>{text}</span></span>
}

/** Says across the page that what is below is old. */
function StaleBanner() {
  const now = useCell(link)
  const at = useCell(second)
  if (now.state === 'denied') {
    return <Notice tone="warn" title="This herd wants an admin key." action={<a class="button" href="/dashboard/login" target="_self">Log in</a>}>{now.detail}</Notice>
  }
  const age = now.heard ? (at - now.heard) / 1000 : 0
  if (now.state !== 'lost' && age < 6) {
    return null
  }
  const text = now.heard ? `What you see is ${span(age)} old; it will be current again by itself.` : 'Is herd running?'
  return <Notice tone="bad" title={`No connection to herd: ${now.detail || 'it is silent'}.`} action={<button class="button" onClick={retryNow}>Try now</button>}>{text}</Notice>
}

const themeWords = { auto: 'as the system', light: 'light', dark: 'dark' }

function ThemeSwitch() {
  const now = useCell(theme)
  return (
    <button class="plain" onClick={nextTheme} aria-label={`Colours: ${themeWords[now]}. Change`} title={`Colours: ${themeWords[now]} (t)`}>
      <Icon>{now === 'dark' ? <path d="M20 14.500A8 8 0 0 1 9.500 4a8 8 0 1 0 10.500 10.500Z" />
        : now === 'light' ? <path d="M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.500 1.500M17.500 17.500 19 19M19 5l-1.500 1.500M6.500 17.500 5 19" />
          : <path d="M12 4a8 8 0 1 0 0 16V4ZM12 4a8 8 0 0 1 0 16" />}</Icon>
    </button>
  )
}

function Keys({ close }: { close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null)
  useEffect(() => { dialog.current?.showModal() }, [])
  const rows: [string, string][] = [
    ...entries.map((entry): [string, string] => [`g ${entry.key}`, entry.label]),
    ['/', 'Filter what is shown'], ['↑ ↓ or j k', 'Move in a table'], ['Enter', 'Open the chosen row'],
    ['Ctrl Enter', 'Explorer: send'], ['t', 'Light, dark, as the system'], ['Esc', 'Close, or leave a field'], ['?', 'This list']
  ]
  return (
    <dialog ref={dialog} onClose={close} onClick={(event) => { if (event.target === dialog.current) { dialog.current?.close() } }} aria-label="Keys">
      <h2>Keys</h2>
      <dl class="keys">{rows.map(([key, text]) => <div key={key}><dt>{key.split(' ').map((part) => part === 'or' ? ' or ' : <kbd key={part}>{part}</kbd>)}</dt><dd>{text}</dd></div>)}</dl>
      <form method="dialog"><button class="button">Close</button></form>
    </dialog>
  )
}

function useKeys(showKeys: () => void): void {
  useEffect(() => {
    let leader = 0
    const onKey = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement
      const typing = target.matches('input,textarea,select,[contenteditable]')
      if (typing && event.key === 'Escape') {
        target.blur()
        return
      }
      if (typing || event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) {
        return
      }
      const entry = Date.now() - leader < 1500 ? entries.find((each) => each.key === event.key) : undefined
      if (entry) {
        leader = 0
        go(href(entry.view))
      } else if (event.key === 'g') {
        leader = Date.now()
      } else if (event.key === '/') {
        const field = document.querySelector<HTMLInputElement>('input[type=search]')
        field?.focus()
        field?.select()
      } else if (event.key === '?') {
        showKeys()
      } else if (event.key === 't') {
        nextTheme()
      } else {
        return
      }
      event.preventDefault()
    }
    addEventListener('keydown', onKey)
    return () => removeEventListener('keydown', onKey)
  }, [])
}

function View() {
  const { view, id } = useCell(place)
  switch (view) {
    case '': return <FleetView />
    case 'nodes': return id ? <NodeView name={id} /> : <FleetView />
    case 'models': return <ModelsView />
    case 'frontends': return <FrontendsView />
    case 'requests': return id ? <RequestView id={id} /> : <RequestsView />
    case 'usage': return <UsageView />
    case 'health': return <HealthView />
    case 'benchmarks': return id ? <BenchmarkView id={id} /> : <BenchmarksView />
    case 'explorer': return <ExplorerView />
    case 'settings': return <SettingsView />
    default: return <Notice title="There is no such page." action={<a class="button" href={href('')}>To the fleet</a>} />
  }
}

function HealthDot() {
  const now = useCell(health)
  const worst = now?.checks.find((check) => check.severity === 'critical' || check.severity === 'warning')
  return worst ? <Mark tone={worst.severity === 'critical' ? 'bad' : 'warn'} /> : null
}

export function App() {
  const [keys, setKeys] = useState(false)
  const { view } = useCell(place)
  const now = useCell(status)
  const list = useCell(nodes)
  useKeys(() => setKeys(true))
  const current = view === 'nodes' ? '' : view
  const label = entries.find((entry) => entry.view === current)?.label ?? 'herd'
  const down = list?.filter((node) => node.state === 'offline' || node.state === 'unreachable').length ?? 0
  useEffect(() => { document.title = `${down > 0 ? `(${down} down) ` : ''}${label} · herd` }, [label, down])
  return (
    <>
      <a class="skip" href="#main">Skip to the content</a>
      <header class="top">
        <a class="brand" href={href('')} aria-label="herd, to the fleet">
          <svg viewBox="0 0 32 32" aria-hidden="true"><path d="M16 16 8 9.500M16 16l8-6.500M16 16v9" /><circle cx="16" cy="16" r="4.500" /><circle cx="8" cy="9.500" r="3" /><circle cx="24" cy="9.500" r="3" /><circle cx="16" cy="25" r="3" /></svg>
          <b>herd</b>{now ? <small>{now.version}</small> : null}
        </a>
        <nav aria-label="Views">
          {entries.map((entry) => (
            <a key={entry.view} href={href(entry.view)} aria-current={entry.view === current ? 'page' : undefined} title={`${entry.label} (g ${entry.key})`}>
              <Icon>{entry.icon}</Icon><span>{entry.label}</span>{entry.view === 'health' ? <HealthDot /> : null}
            </a>
          ))}
        </nav>
        <div class="top-right"><Connection /><ThemeSwitch /><button class="plain keys-button" onClick={() => setKeys(true)} aria-label="Keys" title="Keys (?)">?</button></div>
      </header>
      <main id="main" tabIndex={-1}><StaleBanner /><View /></main>
      {keys ? <Keys close={() => setKeys(false)} /> : null}
    </>
  )
}
