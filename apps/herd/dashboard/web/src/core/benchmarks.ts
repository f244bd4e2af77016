// Benchmarks as herd tells them, and what the page makes of them.

export type ModelType = 'llm' | 'vision' | 'embed' | 'image'
export const modelTypes: readonly (readonly [ModelType, string])[] = [['llm', 'Text'], ['vision', 'Pictures seen'], ['embed', 'Embeddings'], ['image', 'Pictures made']]

export type BenchmarkStatus = 'idle' | 'pulling' | 'warming_up' | 'running' | 'complete' | 'error' | 'cancelled'

export interface BenchmarkProgress {
  status: BenchmarkStatus
  phase: string
  elapsed: number
  duration: number
  requests_completed: number
  requests_failed: number
  tok_per_sec: number
  models: string[]
  models_pulled: string[]
  pull_progress: { model?: string, percent?: number }
  error: string | null
  run_id: string | null
}

export interface Benchmark {
  run_id: string
  timestamp: number
  status: BenchmarkStatus
  mode: string
  duration_s: number
  total_requests: number
  total_failures: number
  total_prompt_tokens: number
  total_completion_tokens: number
  requests_per_sec: number
  tokens_per_sec: number
  latency_p50_ms: number
  latency_p95_ms: number
  latency_p99_ms: number
  ttft_p50_ms: number
  ttft_p95_ms: number
  ttft_p99_ms: number
  inter_token_p50_ms: number
  inter_token_p95_ms: number
  inter_token_p99_ms: number
  cold_loads: number
  policy: string
  version: string
  models_pulled: string[]
  per_model_results: { model: string, model_type: string, requests: number, tok_s: number, avg_latency_ms: number, avg_ttft_ms: number }[]
  per_node_results: { node_id: string, requests: number, pct: number, tok_s: number, tokens: number }[]
  peak_utilization: { node_id: string, cpu_avg: number | null, cpu_peak: number | null, mem_avg: number | null, mem_peak: number | null, active_peak: number }[]
  fleet: { nodes: { node_id: string, state: string, ollama_version?: string, cores?: number, memory_total_bytes?: number, gpus?: { name: string, vram_total_bytes: number }[] }[], models: { model: string, nodes: string[], loaded: string[] }[] }
  skipped: { model: string, error: string }[]
  errors: { error: string, count: number }[]
}

export interface Wish { mode: 'default' | 'smart', duration: number, types: ModelType[], models: string, pull: boolean }

/** The body of a start: models as people write them, between commas or spaces. */
export function startBody(wish: Wish): Record<string, unknown> {
  const models = wish.models.split(/[\s,]+/).filter((name) => name !== '')
  return {
    mode: wish.mode, duration: wish.duration, model_types: wish.types,
    ...(models.length ? { models } : {}), ...(wish.pull && wish.mode === 'smart' && models.length ? { allow_pull: true } : {})
  }
}

export const isRunning = (status: BenchmarkStatus): boolean => status === 'pulling' || status === 'warming_up' || status === 'running'

/** How far the present step is, from 0 to 1; null where that is not known. */
export function shareDone(now: BenchmarkProgress): number | null {
  if (now.status === 'running') {
    return Math.min(1, now.elapsed / Math.max(1, now.duration))
  }
  return now.status === 'pulling' ? (now.pull_progress.percent ?? 0) / 100 : null
}
