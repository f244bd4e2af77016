// The score, and every check with what was seen and what to do about it.
import { useEffect, useState } from 'preact/hooks'
import { useCell } from '../core/cell.ts'
import { count } from '../core/format.ts'
import { health, link } from '../core/live.ts'
import { usePolled } from '../core/poll.ts'
import { href } from '../core/router.ts'
import type { Check, Health, Severity } from '../core/types.ts'
import { Loading, Mark, TroubleNotice, toneOfSeverity } from '../parts/basics.tsx'

const order: Severity[] = ['critical', 'warning', 'info', 'ok']
const words: Record<Severity, string> = { critical: 'critical', warning: 'to look at', info: 'worth knowing', ok: 'fine' }

function Ring({ score }: { score: number }) {
  const tone = score >= 85 ? 'good' : score >= 60 ? 'warn' : 'bad'
  const round = 2 * Math.PI * 42
  return (
    <svg class={`ring ${tone}`} viewBox="0 0 100 100" role="img" aria-label={`Health ${score} of 100`}>
      <circle cx="50" cy="50" r="42" class="ring-back" /><circle cx="50" cy="50" r="42" class="ring-front" stroke-dasharray={`${(round * score) / 100} ${round}`} transform="rotate(-90 50 50)" />
      <text x="50" y="51" class="ring-number">{Math.round(score)}</text><text x="50" y="67" class="ring-of">of 100</text>
    </svg>
  )
}

/** Commands and settings stand in backquotes in what herd says. */
function Advice({ text }: { text: string }) {
  return <p class="advice">{text.split('`').map((part, i) => (i % 2 ? <code key={i}>{part}</code> : part))}</p>
}

function CheckItem({ check }: { check: Check }) {
  const about = [...(check.nodes ?? []).map((node) => <a key={`n${node}`} class="chip" href={href('nodes', node)}>{node}</a>), ...(check.models ?? []).map((model) => <a key={`m${model}`} class="chip" href={href('models', model)}>{model}</a>)]
  return (
    <li class={`check-item ${toneOfSeverity[check.severity]}`}>
      <Mark tone={toneOfSeverity[check.severity]} />
      <div>
        <div class="check-head"><strong>{check.summary}</strong>{about}</div>
        {check.advice && check.severity !== 'ok' ? <Advice text={check.advice} /> : null}
        <small class="mono">{check.id}</small>
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
