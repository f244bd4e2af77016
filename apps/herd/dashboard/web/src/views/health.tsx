// The score, and every check with what was seen and what to do about it.
import { useEffect, useState } from 'preact/hooks'
import { useCell } from '../core/cell.ts'
import { count, span } from '../core/format.ts'
import { health, link } from '../core/live.ts'
import { usePolled } from '../core/poll.ts'
import { href } from '../core/router.ts'
import type { Check, Finding, Health, Severity } from '../core/types.ts'
import { Loading, Mark, TroubleNotice, toneOfSeverity } from '../parts/basics.tsx'

const order: Severity[] = ['critical', 'warning', 'info', 'ok']
const words: Record<Severity, string> = { critical: 'critical', warning: 'to look at', info: 'worth knowing', ok: 'fine' }

function Ring({ score }: { score: number }) {
  const tone = score >= 85 ? 'good' : score >= 60 ? 'warn' : 'bad'
  const round = 2 * Math.PI * 42
  return (
    <svg class={`ring ${tone}`} viewBox="0 0 100 100" role="img" aria-label={`Health ${score} of 100`}>
      <circle cx="50" cy="50" r="42" class="ring-back" /><circle cx="50" cy="50" r="42" class="ring-front" stroke-dasharray={`${(round * score) / 100} ${round}`} transform="rotate(-90 50 50)" />
      <text x="50" y="47" class="ring-number">{Math.round(score)}</text><text x="50" y="68" class="ring-of">of 100</text>
    </svg>
  )
}

/** Commands and settings stand in backquotes in what herd says. */
function Advice({ text }: { text: string }) {
  return <p class="advice">{text.split('`').map((part, i) => (i % 2 ? <code key={i}>{part}</code> : part))}</p>
}

function About({ nodes, models }: { nodes: string[], models: string[] }) {
  return <>{nodes.map((node) => <a key={`n${node}`} class="chip" href={href('nodes', node)}>{node}</a>)}{models.map((model) => <a key={`m${model}`} class="chip" href={href('models', model)}>{model}</a>)}</>
}

/** Since when, in words; nothing where it began just now. */
function sinceText(first: string | undefined): string {
  const age = first ? (Date.now() - Date.parse(first)) / 1000 : Number.NaN
  return age > 60 && age < 1e8 ? `for ${span(age)}` : ''
}

function findingsOf(check: Check): Finding[] {
  return check.findings?.length ? check.findings : [{ severity: check.severity, summary: check.summary, advice: check.advice, nodes: check.nodes, model: null }]
}

function CheckItem({ check }: { check: Check }) {
  const tone = toneOfSeverity[check.severity]
  if (check.severity === 'ok') {
    return <li class="check-item good"><Mark tone={tone} /><div><div class="check-head"><span>{check.title ?? check.summary}</span><small class="mono">{check.id}</small></div></div></li>
  }
  const findings = findingsOf(check)
  return (
    <li class={`check-item ${tone}`}>
      <Mark tone={tone} />
      <div>
        <div class="check-head"><strong>{check.title ?? check.summary}</strong><small class="mono">{check.id}</small></div>
        {findings.map((finding, i) => (
          <div key={i} class="finding">
            {check.title ? <p class="check-head"><span>{finding.summary}</span><small>{finding.resolved ? 'over' : sinceText(finding.first)}</small></p> : null}
            {finding.advice && finding.advice !== findings[i - 1]?.advice ? <Advice text={finding.advice} /> : null}
            <p class="about"><About nodes={[...new Set([finding.node ?? '', ...(finding.nodes ?? [])])].filter((node) => node)} models={finding.model ? [finding.model] : check.models && !check.title ? check.models : []} /></p>
          </div>
        ))}
      </div>
    </li>
  )
}

export function HealthView() {
  const { state } = useCell(link)
  const pushed = useCell(health)
  const { data, error, again } = usePolled<Health>('/herd/v1/health', state === 'live' ? 10_000 : 4000)
  const [fine, setFine] = useState(false)
  useEffect(() => {
    if (data) {
      health.set(data)
    }
  }, [data])
  const now = pushed ?? data
  if (!now) {
    return error ? <TroubleNotice error={error} what="health checks" again={again} /> : <Loading what="the checks" />
  }
  const checks = [...now.checks].sort((a, b) => order.indexOf(a.severity) - order.indexOf(b.severity))
  const trouble = checks.filter((check) => check.severity !== 'ok')
  const good = checks.filter((check) => check.severity === 'ok')
  return (
    <>
      <h1 class="sr">Health</h1>
      <section class="panel score">
        <Ring score={now.score} />
        <div>
          <h2>{trouble.some((check) => check.severity === 'critical') ? 'Something needs you now.' : trouble.some((check) => check.severity === 'warning') ? 'It works, and could be better.' : 'All is well.'}</h2>
          <ul class="severities">{order.map((severity) => <li key={severity}><Mark tone={toneOfSeverity[severity]} /><b>{count(checks.filter((check) => check.severity === severity).length)}</b> {words[severity]}</li>)}</ul>
          {error ? <p class="quiet">Not current: {error.message}</p> : <p class="quiet">The same in a terminal: <code>herd doctor</code></p>}
        </div>
      </section>
      {trouble.length ? <ul class="checks">{trouble.map((check, i) => <CheckItem key={`${check.id}-${i}`} check={check} />)}</ul> : null}
      {good.length ? <>
        <div><button class="button" aria-expanded={fine} onClick={() => setFine(!fine)}>{fine ? 'Hide' : 'Show'} the {count(good.length)} that are fine</button></div>
        {fine ? <ul class="checks">{good.map((check, i) => <CheckItem key={`${check.id}-${i}`} check={check} />)}</ul> : null}
      </> : null}
    </>
  )
}
