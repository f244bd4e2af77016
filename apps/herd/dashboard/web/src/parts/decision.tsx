// The "why": every candidate with what each part of its cost was, in seconds, and why the others were left out.
import { millis, none, rate, span } from '../core/format.ts'
import { href } from '../core/router.ts'
import type { Candidate, Cost, Decision, SignalName } from '../core/types.ts'
import { Mark } from './basics.tsx'

const terms: [keyof Cost, string, string][] = [['wait_s', 'wait', 's1'], ['load_s', 'load', 's2'], ['prefill_s', 'prompt', 's3'], ['decode_s', 'answer', 's5'], ['risk_s', 'risk', 's7']]

const reasons: Record<string, string> = {
  not_member: 'not one of the frontend’s nodes', sent_elsewhere: 'everything is sent to another node', not_allowed: 'not used for such requests', bound_elsewhere: 'the conversation goes on elsewhere',
  not_pinned: 'another node was asked for', label_missing: 'lacks a label asked for', tried: 'failed this request already', not_verified: 'not confirmed yet, or starting',
  suspect: 'something failed there lately', draining: 'draining', offline: 'offline', unreachable: 'cannot be reached', model_missing: 'does not have the model',
  no_free_slot: 'no free slot', cannot_fit: 'does not fit in its memory', held_back: 'this model failed there lately', loading: 'another load is in progress there',
  other_api: 'does not serve this endpoint', cloud: 'in the cloud, where this request may not go', reserved: 'kept free for others: this client used more than its share',
  not_loaded: 'does not have it in memory, and nothing is loaded for a second try', other_tier: 'another tier is preferred: a node of a lower one can do it',
  model_not_allowed: 'may not serve this model (models_allow)'
}

/** The names that users of Ollama Herd know, over what we add up: each row says what the terms above it are made of. */
const signals: [SignalName, string][] = [['thermal', 'Thermal state'], ['memory_fit', 'Memory fit'], ['queue_depth', 'Queue depth'],
  ['wait_time', 'Latency history'], ['role_affinity', 'Role affinity'], ['availability_trend', 'Availability trend'], ['context_fit', 'Context fit']]

const seconds = (value: number | null | undefined) => (value === null || value === undefined ? none : value >= 60 ? span(value) : millis(value * 1000))

function CostBar({ cost, longest }: { cost: Cost, longest: number }) {
  return (
    <span class="cost-bar" aria-hidden="true">
      {terms.map(([key, , colour]) => (cost[key] ?? 0) > 0 ? <i key={key} class={colour} style={{ width: `${(100 * (cost[key] ?? 0)) / longest}%` }} /> : null)}
    </span>
  )
}

function CandidateRow({ candidate, chosen, longest }: { candidate: Candidate, chosen: boolean, longest: number }) {
  const cost = candidate.cost ?? {}
  return (
    <tr class={candidate.eligible ? '' : 'out'}>
      <td><span class="cell-name">{chosen ? <Mark tone="good" /> : <span class="mark" />}<a href={href('nodes', candidate.node)}>{candidate.node}</a></span>{chosen ? <small> chosen</small> : null}</td>
      {candidate.eligible ? <>
        <td class="wide"><CostBar cost={cost} longest={longest} /></td>
        <td class="right"><b>{seconds(cost.total_s)}</b></td>
        {terms.map(([key]) => <td key={key} class="right">{seconds(cost[key])}</td>)}
        <td>{[candidate.loaded ? (candidate.same_class === false ? 'loaded otherwise' : 'in memory') : 'cold', candidate.slots ? `${candidate.free_slots ?? 0}/${candidate.slots} free` : '',
          candidate.cached_tokens ? `${Math.round(candidate.cached_tokens)} cached` : '', candidate.decode_tokens_per_s ? `${rate(candidate.decode_tokens_per_s)} tok/s` : ''].filter((part) => part).join(' · ')}</td>
      </> : <td colSpan={terms.length + 3}>{reasons[candidate.reason ?? ''] ?? candidate.reason?.replaceAll('_', ' ') ?? 'left out'}</td>}
    </tr>
  )
}

function SignalTable({ candidates }: { candidates: Candidate[] }) {
  const told = candidates.filter((each) => each.eligible && each.signals)
  if (told.length === 0) {
    return null
  }
  return (
    <details class="signals">
      <summary>The seven signals</summary>
      <div class="scroll-x"><table class="plain-table decision">
        <thead><tr><th>Node</th>{signals.map(([key, label]) => <th key={key}>{label}</th>)}</tr></thead>
        <tbody>{told.map((each) => (
          <tr key={each.id ?? each.node}>
            <td>{each.node}</td>
            {signals.map(([key]) => <td key={key} title={`${seconds(each.signals?.[key]?.s)} of the total`}>{each.signals?.[key]?.says ?? none}</td>)}
          </tr>
        ))}</tbody>
      </table></div>
    </details>
  )
}

export function DecisionTable({ decision }: { decision: Decision }) {
  const candidates = [...decision.candidates].sort((a, b) => Number(b.eligible) - Number(a.eligible) || (a.cost?.total_s ?? 1e9) - (b.cost?.total_s ?? 1e9))
  const longest = Math.max(0.001, ...candidates.map((each) => each.cost?.total_s ?? 0))
  return (
    <>
      <p class="quiet">
        {decision.chosen ? <>Expected {seconds(decision.predicted_s)} on <b>{decision.chosen}</b>{decision.fallback && decision.requested_model ? ` with ${decision.model} in place of ${decision.requested_model}` : ''}</> : 'No node can take it now'}
        {decision.prompt_tokens ? `, for about ${Math.round(decision.prompt_tokens)} prompt and ${Math.round(decision.output_tokens ?? 0)} answer tokens` : ''}
        {decision.ahead ? `, ${decision.ahead} ahead in the queue` : ''}{decision.note ? `: ${decision.note}` : ''}
        {decision.left_out ? ` (${decision.left_out} further candidates not shown)` : ''}
      </p>
      <div class="legend">{terms.map(([key, label, colour]) => <span key={key}><i class={colour} />{label}</span>)}</div>
      <div class="scroll-x"><table class="plain-table decision">
        <thead><tr><th>Node</th><th class="wide" /><th class="right">Total</th>{terms.map(([key, label]) => <th key={key} class="right">{label}</th>)}<th /></tr></thead>
        <tbody>{candidates.map((each) => <CandidateRow key={each.id ?? each.node} candidate={each} chosen={each.node === decision.chosen} longest={longest} />)}</tbody>
      </table></div>
      <SignalTable candidates={candidates} />
      {candidates.length === 0 ? <p class="quiet">There was no candidate.</p> : null}
    </>
  )
}
