// herd's admin API as the dashboard reads it (design contract, section 3). Whatever may be missing is optional:
// old and new versions talk to each other, and a plain Ollama tells little of itself.

export type NodeState = 'online' | 'suspect' | 'offline' | 'draining' | 'unreachable' | 'unknown'

export interface Gpu {
  name: string
  vendor?: string
  vram_total_bytes?: number | null
  vram_free_bytes?: number | null
  busy?: number | null
  temperature_c?: number | null
  power_w?: number | null
}

export interface NodeModel { name: string, digest?: string, size?: number, modified_at?: string }

export interface LoadedModel extends NodeModel {
  size_vram?: number
  context_length?: number
  expires_at?: string
  slots?: number | null
}

export interface Node {
  id: string
  name: string
  address?: string
  url?: string
  state: NodeState
  state_reason?: string
  trust?: string
  since?: string
  last_seen_ms?: number | null
  latency_ms?: number | null
  version?: string
  ollama_version?: string
  labels?: string[]
  gateway?: boolean
  cpu?: { cores?: number | null, busy?: number | null, load1?: number | null, model?: string | null, arch?: string | null }
  memory?: { total_bytes?: number | null, available_bytes?: number | null, swap_used_bytes?: number | null }
  gpus?: Gpu[]
  slots?: { total: number, free: number }
  in_flight?: number
  queued?: number
  models?: NodeModel[]
  loaded?: LoadedModel[]
  source?: string
  api?: string
  cloud?: boolean
}

/** A virtual endpoint; `use`: the node it is switched to. Its pins are the members that begin with `pinned_`. */
export interface Frontend {
  id: string
  name?: string
  source?: string
  use?: string | null
  members?: string[]
  missing?: string[]
  in_flight?: number
  active?: boolean
  hostnames?: string[]
  path_prefix?: boolean
  labels_required?: string[]
  required_models?: string[]
  allow_completions?: boolean
  allow_embeddings?: boolean
  allow_model_admin?: boolean
  allow_cloud?: boolean
  allow_retries?: boolean
  policy?: string
  sticky?: boolean
  sticky_ttl?: string
  per_minute?: number
  max_parallel?: number
  [field: string]: unknown
}

/** A model that is to stay in memory: on one node, or where herd finds room. */
export interface Pin { model: string, node: string | null, node_id: string | null, replicas: number | 'all', source: string }
/** How that stands for one copy of it. */
export interface PinState { model: string, node: string | null, node_id: string | null, state: 'resident' | 'loading' | 'waiting' | 'failed' | 'absent', reason?: string, failures?: number, next_try?: string }
export interface Pins { pins: Pin[], models: PinState[] }

export interface Status {
  version: string
  uptime_s: number
  nodes: Record<string, number>
  models: { available: number, loaded: number }
  requests: { in_flight: number, queued: number, total: number, failed: number }
}

export interface ModelHolder {
  node: string
  digest: string
  size: number
  loaded: boolean
  context_length: number | null
  slots: number
  in_flight: number
}

export interface CatalogModel { name: string, digests: string[], nodes: ModelHolder[] }

export interface Attempt { node: string, outcome: string, ms?: number }

export interface RequestRecord {
  id: string
  at: string
  client?: string
  key?: string
  frontend?: string
  api?: string
  method?: string
  path?: string
  model?: string
  requested_model?: string
  node?: string
  attempts?: Attempt[]
  /** null while it runs */
  status: number | null
  termination?: string | null
  /** Of one that runs: reading, queued, waiting, streaming. */
  phase?: string
  stream?: boolean
  tags?: string[]
  session?: string
  priority?: string
  prompt_tokens?: number | null
  cached_tokens?: number | null
  output_tokens?: number | null
  queue_ms?: number | null
  load_ms?: number | null
  connect_ms?: number | null
  ttft_ms?: number | null
  total_ms?: number | null
  prompt_eval_ms?: number | null
  eval_ms?: number | null
  node_queue_ms?: number | null
  num_ctx_asked?: number
  num_ctx_used?: number
  done_reason?: string
  user_agent?: string
  labels?: string[]
  affinity?: string
  bytes_in?: number
  bytes_out?: number
  tokens_per_s?: number | null
  fallback?: string | boolean
  error?: string
  decision?: Decision | null
}

export interface Cost {
  wait_s: number | null
  load_s: number | null
  prefill_s: number | null
  decode_s: number | null
  risk_s: number | null
  total_s: number | null
}

export type SignalName = 'thermal' | 'memory_fit' | 'queue_depth' | 'wait_time' | 'role_affinity' | 'availability_trend' | 'context_fit'

export interface Candidate {
  node: string
  id?: string
  eligible: boolean
  reason?: string
  cost: Cost
  loaded?: boolean
  same_class?: boolean
  free_slots?: number
  slots?: number
  cached_tokens?: number | null
  prefill_tokens_per_s?: number | null
  decode_tokens_per_s?: number | null
  signals?: Partial<Record<SignalName, { s: number | null, says: string }>>
}

export interface Decision {
  model?: string
  /** The model asked for, when `model` is a fallback that would run in its place. */
  requested_model?: string
  fallback?: boolean
  chosen: string | null
  predicted_s?: number | null
  prompt_tokens?: number | null
  output_tokens?: number | null
  ahead?: number
  note?: string
  left_out?: number
  /** As the chosen node would get it; absent: nothing is pinned, it goes as it came. */
  body?: unknown
  candidates: Candidate[]
}

/** One model that one node is to have. */
export interface RequiredState { model: string, node: string, node_id: string, state: 'present' | 'missing' | 'queued' | 'pulling' | 'failed', percent?: number, reason?: string, failures?: number, next_try?: string }
export interface Sync { required: { model: string }[], models: RequiredState[] }

/** One of GET /fleet/queue; node_id "*": waiting in herd. */
export interface Queue { node_id: string, model: string, pending: number, in_flight: number, concurrency: number, rejected: number }
export interface Queues { pending: number, estimated_wait_ms: number | null, model?: string, queues: Record<string, Queue> }

export type Severity = 'ok' | 'info' | 'warning' | 'critical'

export interface Finding {
  severity: Severity
  summary: string
  advice?: string
  node?: string | null
  model?: string | null
  nodes?: string[]
  first?: string
  resolved?: boolean
}

export interface Check {
  id: string
  title?: string
  findings?: Finding[]
  severity: Severity
  summary: string
  advice?: string
  nodes?: string[]
  models?: string[]
}

export interface Health { score: number, checks: Check[] }

/** `after_restart`: what the file asks for by now, where only a restart applies it. */
export type Config = Record<string, { value: unknown, from: string, after_restart?: unknown }>
