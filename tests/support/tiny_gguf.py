#!/usr/bin/env python3
"""Writes tiny GGUF models that a real Ollama / llama.cpp can load. No dependencies, no downloads.

usage: tiny_gguf.py [DIRECTORY]        (default: the current directory)

  tiny.gguf       arch llama, ~0.5 MB: after ANY prompt says TEXT once, then EOS (done_reason "stop").
  tinyloop.gguf   same, but repeats TEXT for ever (ends by num_predict: done_reason "length").
  tinyembed.gguf  arch bert, ~0.3 MB, 64-dim mean pooling (character WordPiece vocabulary).

How it is deterministic: attn_output and ffn_down are all zero, so every layer adds nothing to the residual
stream (attention, KV cache and FFN are still computed); embedding = [1, one-hot(word)*4], so the logits depend
only on the last token: its successor word wins by ~60 logits, any other last token leads to the first word.
"""
import array, random, struct, sys
U32, I32, F32, BOOL, STR, ARR, U64 = 4, 5, 6, 7, 8, 9, 10          # GGUF value types
# words must be unique; these satisfy the answer checks of Ollama's own integration tests (its integration/ folder)
TEXT = ('rayleigh sunlight and water scatter through the atmosphere every july since independence '
        'while oxygen over europe waits')

def s(x):
    b = x.encode(); return struct.pack('<Q', len(b)) + b
def val(t, v):
    return s(v) if t == STR else struct.pack({U32: '<I', I32: '<i', F32: '<f', BOOL: '<B', U64: '<Q'}[t], v)
def kv(k, t, v, et=None):
    if t == ARR: return s(k) + struct.pack('<IIQ', ARR, et, len(v)) + b''.join(val(et, x) for x in v)
    return s(k) + struct.pack('<I', t) + val(t, v)
def write(path, kvs, tensors, align=32):                           # tensors: (name, (ne0, ne1, ..), array('f'))
    head = b'GGUF' + struct.pack('<IQQ', 3, len(tensors), len(kvs)) + b''.join(kv(*k) for k in kvs)
    info, blobs, off = b'', [], 0
    for name, dims, a in tensors:                                  # tensor type 0 = F32; ne0 is the row length
        info += s(name) + struct.pack('<I', len(dims)) + struct.pack('<%dQ' % len(dims), *dims) + struct.pack('<IQ', 0, off)
        b = a.tobytes(); b += b'\0' * (-len(b) % align); blobs.append(b); off += len(b)
    head += info; head += b'\0' * (-len(head) % align)
    with open(path, 'wb') as f: f.write(head + b''.join(blobs))
def zeros(n): return array.array('f', bytes(4 * n))
def ones(n): return array.array('f', [1.0]) * n
def rnd(n, scale, seed):
    r = random.Random(seed); return array.array('f', (r.uniform(-scale, scale) for _ in range(n)))

def llama(path, text=TEXT, loop=False, layers=2, D=64, ff=128, heads=4, ctx=8192):
    """Larger layers/D/ff make it slower (to imitate real token rates); D must exceed the number of words + 1."""
    words = ['\u2581' + w for w in text.split()]; assert len(set(words)) == len(words) and len(words) + 2 <= D
    toks = ['<unk>', '<s>', '</s>'] + ['<0x%02X>' % i for i in range(256)] + ['\u2581'] + words
    types = [2, 3, 3] + [6] * 256 + [1] * (1 + len(words)); V, first = len(toks), 260
    emb, out = zeros(V * D), zeros(V * D)
    for t in range(V): emb[t * D] = 1.0; out[t * D] = -8.0
    out[first * D] = -7.0                                          # default successor: the first word
    for i in range(len(words)):
        emb[(first + i) * D + 1 + i] = 4.0
        nxt = first + i + 1 if i + 1 < len(words) else (first if loop else 2)
        out[nxt * D + 1 + i] = 8.0
    T = [('token_embd.weight', (D, V), emb), ('output_norm.weight', (D,), ones(D)), ('output.weight', (D, V), out)]
    for l in range(layers):
        p = 'blk.%d.' % l
        T += [(p + 'attn_norm.weight', (D,), ones(D)), (p + 'attn_q.weight', (D, D), rnd(D * D, .1, l)),
              (p + 'attn_k.weight', (D, D), rnd(D * D, .1, l + 50)), (p + 'attn_v.weight', (D, D), rnd(D * D, .1, l + 90)),
              (p + 'attn_output.weight', (D, D), zeros(D * D)), (p + 'ffn_norm.weight', (D,), ones(D)),
              (p + 'ffn_gate.weight', (D, ff), rnd(D * ff, .1, l + 7)), (p + 'ffn_up.weight', (D, ff), rnd(D * ff, .1, l + 9)),
              (p + 'ffn_down.weight', (ff, D), zeros(ff * D))]
    write(path, [
        ('general.architecture', STR, 'llama'), ('general.name', STR, 'tiny'), ('general.file_type', U32, 0),
        ('general.parameter_count', U64, sum(len(a) for _, _, a in T)),
        ('llama.context_length', U32, ctx), ('llama.embedding_length', U32, D), ('llama.block_count', U32, layers),
        ('llama.feed_forward_length', U32, ff), ('llama.attention.head_count', U32, heads),
        ('llama.attention.head_count_kv', U32, heads), ('llama.attention.layer_norm_rms_epsilon', F32, 1e-5),
        ('llama.rope.dimension_count', U32, D // heads), ('llama.vocab_size', U32, V),
        ('tokenizer.ggml.model', STR, 'llama'), ('tokenizer.ggml.pre', STR, 'default'),
        ('tokenizer.ggml.tokens', ARR, toks, STR), ('tokenizer.ggml.scores', ARR, [0.0] * 259 + [-1.0] * (V - 259), F32),
        ('tokenizer.ggml.token_type', ARR, types, I32), ('tokenizer.ggml.bos_token_id', U32, 1),
        ('tokenizer.ggml.eos_token_id', U32, 2), ('tokenizer.ggml.unknown_token_id', U32, 0),
        ('tokenizer.ggml.add_bos_token', BOOL, True), ('tokenizer.ggml.add_eos_token', BOOL, False),
        ('tokenizer.chat_template', STR, "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
                                         "{% if add_generation_prompt %}assistant: {% endif %}")], T)

def bert(path, layers=1, D=64, ff=128, heads=4, ctx=512):
    ch = 'abcdefghijklmnopqrstuvwxyz0123456789.,!?-'
    toks = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'] + ['\u2581' + c for c in ch] + list(ch); V = len(toks)
    T = [('token_embd.weight', (D, V), rnd(D * V, 1, 1)), ('token_types.weight', (D, 2), rnd(D * 2, .1, 2)),
         ('position_embd.weight', (D, ctx), rnd(D * ctx, .1, 3)),
         ('token_embd_norm.weight', (D,), ones(D)), ('token_embd_norm.bias', (D,), zeros(D))]
    for l in range(layers):
        p = 'blk.%d.' % l
        for i, (n, a, b) in enumerate([('attn_q', D, D), ('attn_k', D, D), ('attn_v', D, D), ('attn_output', D, D),
                                       ('ffn_up', D, ff), ('ffn_down', ff, D)]):
            T += [(p + n + '.weight', (a, b), rnd(a * b, .1, 10 + i + 10 * l)), (p + n + '.bias', (b,), zeros(b))]
        for n in ('attn_output_norm', 'layer_output_norm'):
            T += [(p + n + '.weight', (D,), ones(D)), (p + n + '.bias', (D,), zeros(D))]
    write(path, [
        ('general.architecture', STR, 'bert'), ('general.name', STR, 'tinyembed'), ('general.file_type', U32, 0),
        ('bert.context_length', U32, ctx), ('bert.embedding_length', U32, D), ('bert.block_count', U32, layers),
        ('bert.feed_forward_length', U32, ff), ('bert.attention.head_count', U32, heads),
        ('bert.attention.layer_norm_epsilon', F32, 1e-12), ('bert.attention.causal', BOOL, False),
        ('bert.pooling_type', U32, 1),                             # 1 = mean; this key is what makes it an embedding model
        ('tokenizer.ggml.model', STR, 'bert'), ('tokenizer.ggml.pre', STR, 'default'),
        ('tokenizer.ggml.token_type_count', U32, 2), ('tokenizer.ggml.tokens', ARR, toks, STR),
        ('tokenizer.ggml.scores', ARR, [-1000.0] * V, F32),
        ('tokenizer.ggml.token_type', ARR, [3, 2, 3, 3, 3] + [1] * (V - 5), I32),
        ('tokenizer.ggml.bos_token_id', U32, 2), ('tokenizer.ggml.eos_token_id', U32, 3),
        ('tokenizer.ggml.unknown_token_id', U32, 1), ('tokenizer.ggml.seperator_token_id', U32, 3),  # sic
        ('tokenizer.ggml.padding_token_id', U32, 0), ('tokenizer.ggml.cls_token_id', U32, 2),
        ('tokenizer.ggml.mask_token_id', U32, 4)], T)

if __name__ == '__main__':
    d = sys.argv[1] if len(sys.argv) > 1 else '.'
    llama(d + '/tiny.gguf'); llama(d + '/tinyloop.gguf', loop=True); bert(d + '/tinyembed.gguf')
