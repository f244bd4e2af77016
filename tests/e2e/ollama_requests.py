"""Requests to make twice, directly and through herd, after the recordings in ollama-probe.txt.

Each: (name, method, path, body, how to compare). How:
  exact     status, headers, framing and body are the node's, byte for byte after masking
  contains  herd answers for the fleet; what the one node says must be in it
  shape     herd may answer this by itself, in other words: same status, content type and JSON keys
  status    the same status
  error     an error either way: 4xx, in the shape of an error
"""
NOPE, BLOB = "nope", "sha256:" + "0" * 64
USER = [{"role": "user", "content": "why is the sky blue?"}]
# Through /v1 the default temperature is 1, where even the tiny model is not quite deterministic.
LOOP = {"num_predict": 40, "seed": 1, "temperature": 0}

REQUESTS = [
    # -- answered by herd for the fleet
    ("root", "GET", "/", None, "exact"),
    ("root head", "HEAD", "/", None, "exact"),
    ("version", "GET", "/api/version", None, "exact"),
    ("version head", "HEAD", "/api/version", None, "status"),
    ("tags", "GET", "/api/tags", None, "contains"),
    ("tags head", "HEAD", "/api/tags", None, "status"),
    ("ps", "GET", "/api/ps", None, "contains"),
    ("v1 models", "GET", "/v1/models", None, "contains"),
    # -- one node that has it
    ("v1 model", "GET", "/v1/models/tiny", None, "exact"),
    ("show", "POST", "/api/show", {"model": "tiny"}, "exact"),
    ("show by old name", "POST", "/api/show", {"name": "tiny:latest"}, "exact"),
    ("show verbose", "POST", "/api/show", {"model": "tiny", "verbose": True}, "exact"),
    ("show another case", "POST", "/api/show", {"model": "TINY"}, "exact"),
    # -- inference
    ("chat", "POST", "/api/chat", {"model": "tiny", "messages": USER, "stream": False}, "exact"),
    ("chat stream", "POST", "/api/chat", {"model": "tiny", "messages": USER}, "exact"),
    ("chat full name", "POST", "/api/chat", {"model": "registry.ollama.ai/library/tiny:latest", "messages": USER, "stream": False}, "exact"),
    ("chat another case", "POST", "/api/chat", {"Model": "Tiny:LATEST", "messages": USER, "stream": False}, "exact"),
    ("chat preload", "POST", "/api/chat", {"model": "tiny", "messages": []}, "exact"),
    ("chat json format", "POST", "/api/chat", {"model": "tiny", "messages": USER, "format": "json", "stream": False, "options": LOOP}, "status"),
    ("generate", "POST", "/api/generate", {"model": "tiny", "prompt": "x", "stream": False}, "exact"),
    ("generate stream", "POST", "/api/generate", {"model": "tiny", "prompt": "x"}, "exact"),
    ("generate length", "POST", "/api/generate", {"model": "tinyloop", "prompt": "x", "options": LOOP}, "exact"),
    ("generate raw", "POST", "/api/generate", {"model": "tiny", "prompt": "x", "raw": True, "stream": False}, "exact"),
    ("generate preload", "POST", "/api/generate", {"model": "tiny"}, "exact"),
    ("generate unload", "POST", "/api/generate", {"model": "tinyloop", "keep_alive": 0}, "exact"),
    ("chat unload", "POST", "/api/chat", {"model": "tinyloop", "messages": [], "keep_alive": "0s"}, "exact"),
    ("embed", "POST", "/api/embed", {"model": "tinyembed", "input": "hello"}, "exact"),
    ("embed list", "POST", "/api/embed", {"model": "tinyembed", "input": ["hello", "there"]}, "exact"),
    ("embed empty", "POST", "/api/embed", {"model": "tinyembed", "input": []}, "exact"),
    ("embeddings", "POST", "/api/embeddings", {"model": "tinyembed", "prompt": "hello"}, "exact"),
    ("v1 chat", "POST", "/v1/chat/completions", {"model": "tiny", "temperature": 0, "messages": USER}, "exact"),
    ("v1 chat stream", "POST", "/v1/chat/completions", {"model": "tiny", "temperature": 0, "messages": USER, "stream": True}, "exact"),
    ("v1 chat stream usage", "POST", "/v1/chat/completions",
     {"model": "tiny", "temperature": 0, "messages": USER, "stream": True, "stream_options": {"include_usage": True}}, "exact"),
    ("v1 completions", "POST", "/v1/completions", {"model": "tiny", "temperature": 0, "prompt": "x"}, "exact"),
    ("v1 completions stream", "POST", "/v1/completions", {"model": "tiny", "temperature": 0, "prompt": "x", "stream": True}, "exact"),
    ("v1 embeddings", "POST", "/v1/embeddings", {"model": "tinyembed", "input": ["a", "b"]}, "exact"),
    # -- errors of the node, passed on
    ("wrong capability", "POST", "/api/chat", {"model": "tinyembed", "messages": USER}, "exact"),
    ("wrong capability v1", "POST", "/v1/chat/completions", {"model": "tinyembed", "messages": USER}, "exact"),
    ("no tools", "POST", "/api/chat", {"model": "tiny", "messages": USER,
                                       "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]}, "exact"),
    ("no insert", "POST", "/api/generate", {"model": "tiny", "prompt": "x", "suffix": "y"}, "exact"),
    ("bad option type", "POST", "/api/generate", {"model": "tiny", "prompt": "x", "options": {"num_ctx": "big"}}, "exact"),
    ("bad keep alive", "POST", "/api/generate", {"model": "tiny", "prompt": "x", "keep_alive": "zzz"}, "exact"),
    ("embed input type", "POST", "/api/embed", {"model": "tinyembed", "input": 5}, "exact"),
    ("v1 no messages", "POST", "/v1/chat/completions", {"model": "tiny", "temperature": 0, "messages": []}, "exact"),
    # -- models that nobody has (the text differs between versions of Ollama; test_errors.py has herd's)
    ("generate nope", "POST", "/api/generate", {"model": NOPE, "prompt": "x"}, "shape"),
    ("chat nope", "POST", "/api/chat", {"model": NOPE, "messages": USER}, "shape"),
    ("embed nope", "POST", "/api/embed", {"model": NOPE, "input": "x"}, "shape"),
    ("embeddings nope", "POST", "/api/embeddings", {"model": NOPE, "prompt": "x"}, "shape"),
    ("show nope", "POST", "/api/show", {"model": NOPE}, "shape"),
    ("v1 chat nope", "POST", "/v1/chat/completions", {"model": NOPE, "messages": USER}, "shape"),
    ("v1 completions nope", "POST", "/v1/completions", {"model": NOPE, "prompt": "x"}, "shape"),
    ("v1 embeddings nope", "POST", "/v1/embeddings", {"model": NOPE, "input": "x"}, "shape"),
    ("v1 model nope", "GET", "/v1/models/nope", None, "shape"),
    ("delete nope", "DELETE", "/api/delete", {"model": NOPE}, "shape"),
    ("copy nope", "POST", "/api/copy", {"source": NOPE, "destination": "b"}, "shape"),
    ("empty model", "POST", "/api/generate", {}, "shape"),
    ("chat no model", "POST", "/api/chat", {}, "shape"),
    ("show no model", "POST", "/api/show", {}, "shape"),
    ("delete no model", "DELETE", "/api/delete", {}, "shape"),
    ("bad model name", "POST", "/api/generate", {"model": "bad name!", "prompt": "x"}, "error"),
    # -- JSON that is none
    ("no body", "POST", "/api/generate", None, "shape"),
    ("bad json", "POST", "/api/generate", b"{bad", "shape"),
    ("bad json chat", "POST", "/api/chat", b"{\"model\": \"tiny\", \"messages\": [}", "shape"),
    ("bad json v1", "POST", "/v1/chat/completions", b"{bad", "status"),
    # -- blobs
    ("blob head missing", "HEAD", "/api/blobs/" + BLOB, None, "status"),
    ("blob head malformed", "HEAD", "/api/blobs/sha256:xyz", None, "status"),
    ("blob wrong digest", "POST", "/api/blobs/sha256:" + "1" * 64, b"hello", "exact"),
    ("create nothing", "POST", "/api/create", {"model": "new"}, "exact"),
    ("create missing blob", "POST", "/api/create", {"model": "new", "files": {"a.gguf": BLOB}}, "exact"),
    # -- routes that do not exist
    ("unknown path", "GET", "/api/nothing", None, "exact"),
    ("unknown v1 path", "GET", "/v1/models/foo/bar", None, "exact"),
    ("count tokens", "POST", "/v1/messages/count_tokens", {"messages": []}, "error"),  # herd counts, Ollama does not
    ("wrong method on tags", "POST", "/api/tags", None, "exact"),
    ("wrong method on chat", "GET", "/api/chat", None, "exact"),
    ("head where none", "HEAD", "/api/ps", None, "status"),
    ("trailing slash", "GET", "/api/tags/", None, "status"),
]
