// The small pieces every view is made of: state badge, meter, sparkline, honest empty and error states.
import type { ComponentChildren } from 'preact'
import { useRef } from 'preact/hooks'
import type { ApiError } from '../core/api.ts'
import type { NodeState, Severity } from '../core/types.ts'

export type Tone = 'good' | 'warn' | 'bad' | 'hold' | 'none' | 'info'

const shapes: Record<Tone, ComponentChildren> = {
  good: <circle cx="6" cy="6" r="5" />,
  warn: <path d="M6 .8 11.700 11H.3Z" />,
  bad: <path d="M2.600.9 6 4.300 9.400.9l1.700 1.700L7.700 6l3.400 3.400-1.700 1.700L6 7.700l-3.400 3.400L.9 9.400 4.300 6 .9 2.600Z" />,
  hold: <path d="M1.500 1h3.200v10H1.500Zm5.800 0h3.200v10H7.300Z" />,
  none: <path d="M6 1a5 5 0 1 0 0 10A5 5 0 0 0 6 1Zm0 2a3 3 0 1 1 0 6 3 3 0 0 1 0-6Z" />,
  info: <path d="M1 6 6 1l5 5-5 5Z" />
}

/** A shape and a colour, so that neither has to be told apart alone. */
export function Mark({ tone }: { tone: Tone }) {
  return <svg class={`mark ${tone}`} viewBox="0 0 12 12" aria-hidden="true">{shapes[tone]}</svg>
}

export const toneOf: Record<NodeState, Tone> = { online: 'good', suspect: 'warn', offline: 'bad', draining: 'hold', unreachable: 'bad', unknown: 'none' }
export const toneOfSeverity: Record<Severity, Tone> = { ok: 'good', info: 'info', warning: 'warn', critical: 'bad' }

export function StateBadge({ state }: { state: NodeState }) {
  const tone = toneOf[state] ?? 'none'
  return <span class={`badge ${tone}`}><Mark tone={tone} />{state}</span>
}

export function Meter({ label, value, text, title }: { label: string, value: number | null | undefined, text: string, title?: string }) {
  const known = typeof value === 'number' && Number.isFinite(value)
  const share = known ? Math.min(1, Math.max(0, value)) : 0
  return (
    <div class="meter" title={title}>
      <span class="meter-label">{label}</span>
      <span class={`bar ${share > 0.95 ? 'full' : ''} ${known ? '' : 'unknown'}`} role="meter" aria-label={label} aria-valuemin={0} aria-valuemax={100}
        aria-valuenow={known ? Math.round(share * 100) : undefined} aria-valuetext={text}><i style={{ transform: `scaleX(${share})` }} /></span>
      <span class="meter-text">{text}</span>
    </div>
  )
}

/** Paths through values, gaps staying gaps: the line, and the same down to the lower edge to be filled. `top` is the
    value of the upper edge. */
export function sparkPaths(values: number[], width: number, height: number, top: number): { line: string, area: string } {
  const step = width / Math.max(1, values.length - 1)
  let line = ''
  let area = ''
  let from = -1
  for (let i = 0; i <= values.length; ++i) {
    const value = values[i]
    if (value === undefined || Number.isNaN(value)) {
      if (from >= 0) {
        area += `L${((i - 1) * step).toFixed(1)} ${height}L${(from * step).toFixed(1)} ${height}Z`
        from = -1
      }
      continue
    }
    const point = `${from < 0 ? 'M' : 'L'}${(i * step).toFixed(1)} ${(height - (Math.min(value, top) / (top || 1)) * (height - 2) - 1).toFixed(1)}`
    line += point
    area += point
    from = from < 0 ? i : from
  }
  return { line, area }
}

export interface SparkLine { values: number[], tone: 1 | 2 | 3 }

export function Sparkline({ lines, top, label }: { lines: SparkLine[], top?: number, label: string }) {
  const highest = top ?? Math.max(1, ...lines.flatMap((line) => line.values.filter((value) => !Number.isNaN(value))))
  const paths = lines.map((each) => ({ tone: each.tone, ...sparkPaths(each.values, 180, 32, highest) }))
  return (
    <svg class="spark" viewBox="0 0 180 32" preserveAspectRatio="none" role="img" aria-label={label}>
      <path class="spark-base" d="M0 31.5H180" />
      {paths.map((each) => <path key={`area-${each.tone}`} class={`spark-area area-${each.tone}`} d={each.area} />)}
      {paths.map((each) => <path key={each.tone} class={`line-${each.tone}`} d={each.line} />)}
    </svg>
  )
}

export function Notice({ tone = 'none', title, children, action }: { tone?: Tone, title: string, children?: ComponentChildren, action?: ComponentChildren }) {
  return (
    <div class="notice" role={tone === 'bad' ? 'alert' : 'status'}>
      <Mark tone={tone} />
      <div><strong>{title}</strong>{children ? <div class="notice-text">{children}</div> : null}{action ? <div class="notice-action">{action}</div> : null}</div>
    </div>
  )
}

/** Why a view has nothing to show, in the words that fit the kind of trouble. */
export function TroubleNotice({ error, what, again }: { error: ApiError, what: string, again?: () => void }) {
  const retry = again ? <button class="button" onClick={again}>Try again</button> : null
  if (error.trouble === 'absent') {
    return <Notice title={`This herd does not offer ${what}.`} action={retry}>Its version has no such interface yet: {error.message}.</Notice>
  }
  if (error.trouble === 'denied') {
    return <Notice tone="warn" title={`You may not see ${what}.`} action={retry}>{error.message}. A key can be entered under <a href="/dashboard/settings">Settings</a>.</Notice>
  }
  return <Notice tone="bad" title={`${what[0]?.toUpperCase()}${what.slice(1)} could not be loaded.`} action={retry}>{error.message}</Notice>
}

export function Loading({ what }: { what: string }) {
  return <div class="loading" role="status">Loading {what}…</div>
}

export function Fact({ label, children, title }: { label: string, children: ComponentChildren, title?: string }) {
  return <div class="fact" title={title}><dt>{label}</dt><dd>{children}</dd></div>
}

export function Choice<T extends string>({ label, value, options, onChange }: { label: string, value: T, options: readonly (readonly [T, string])[], onChange: (value: T) => void }) {
  const group = useRef<HTMLDivElement>(null)
  const onKey = (event: KeyboardEvent) => {
    const at = options.findIndex(([option]) => option === value)
    const steps: Record<string, number> = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: options.length - 1 }
    const to = steps[event.key]
    const next = to === undefined ? undefined : options[(to + options.length) % options.length]
    if (next && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault()
      onChange(next[0])
      group.current?.querySelectorAll('button')[options.indexOf(next)]?.focus()
    }
  }
  // One stop of the Tab key, as radio buttons are: arrow keys choose within.
  return (
    <div class="choice" role="radiogroup" aria-label={label} ref={group} onKeyDown={onKey}>
      {options.map(([option, text], i) => (
        <button key={option} type="button" role="radio" aria-checked={option === value} tabIndex={option === value || (i === 0 && !options.some(([each]) => each === value)) ? 0 : -1}
          class={option === value ? 'chosen' : ''} onClick={() => onChange(option)}>{text}</button>
      ))}
    </div>
  )
}
