"""The same request made directly and through herd: what differs, once what must differ is masked."""
import json
import re

# Values that are new on every request, wherever they stand.
VOLATILE = {"created_at", "modified_at", "expires_at", "created", "completed_at", "total_duration", "load_duration", "prompt_eval_duration",
            "eval_duration", "request_id"}
ID = re.compile(r"\b(?:chatcmpl|cmpl|req|msg|resp|call)[-_][0-9a-z]+\b")
HOP_BY_HOP = {"connection", "keep-alive", "date", "transfer-encoding", "proxy-connection", "te", "trailer", "upgrade"}


def masked(value):
    """`value` with what changes between two runs replaced by its type."""
    if isinstance(value, dict):
        return {key: ("<%s>" % type(item).__name__ if key in VOLATILE else masked(item)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(item) for item in value]
    return ID.sub("<id>", value) if isinstance(value, str) else value


def masked_text(body, content_type):
    """A body as comparable text. JSON keeps its key order and separators as they were on the wire."""
    text = body.decode("utf-8", "replace")
    for key in VOLATILE:
        text = re.sub(r'("%s": ?)("[^"]*"|-?[0-9.eE+]+)' % key, r'\1"<%s>"' % key, text)
    # The parameter that the harness gives its models: Ollama lists parameters in a random order.
    text = re.sub(r'(\\n)?(PARAMETER )?num_thread +1(?=\\n|")', "", text).replace(':"\\n', ':"')
    return ID.sub("<id>", text)


def headers_of(answer):
    """End-to-end headers, lower case, herd's own left out."""
    found = sorted((k.lower(), v) for k, v in answer.headers if k.lower() not in HOP_BY_HOP and not k.lower().startswith("x-herd-"))
    # A length depends on the digits of a duration.
    return [(k, "<length>" if k == "content-length" else v) for k, v in found]


def framing(answer):
    coding = (answer.header("transfer-encoding") or "").lower()
    return coding or ("length" if answer.header("content-length") is not None else "close")


def differences(direct, through, body="exact"):
    """Sentences, empty when the two answers agree.

    body: "exact" masked bytes · "contains" herd's JSON has everything the direct one has · "shape" same JSON keys · "any"
    """
    found = []
    if direct.status != through.status:
        found.append("status %d became %d (%s)" % (direct.status, through.status, through.body[:200]))
    if body == "exact":
        if headers_of(direct) != headers_of(through):
            found.append("headers %r became %r" % (headers_of(direct), headers_of(through)))
        if framing(direct) != framing(through):
            found.append("framing %s became %s" % (framing(direct), framing(through)))
        kind = direct.header("content-type") or ""
        a, b = masked_text(direct.body, kind), masked_text(through.body, kind)
        if a != b:
            at = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
            found.append("body differs at %d: …%r became …%r" % (at, a[max(0, at - 40):at + 80], b[max(0, at - 40):at + 80]))
    else:
        if (direct.header("content-type") or "") != (through.header("content-type") or ""):
            found.append("content type %r became %r" % (direct.header("content-type"), through.header("content-type")))
        if body == "contains":
            found += missing(masked(json.loads(direct.body)), masked(json.loads(through.body)))
        elif body == "shape":
            a, b = shape(direct), shape(through)
            if a != b:
                found.append("shape %r became %r" % (a, b))
    return found


def missing(wanted, given, path="$"):
    """What `wanted` has and `given` lacks or has otherwise."""
    if isinstance(wanted, dict):
        if not isinstance(given, dict):
            return ["%s: %r became %r" % (path, wanted, given)]
        return [line for key, item in wanted.items() for line in
                (missing(item, given[key], path + "." + key) if key in given else ["%s.%s is missing" % (path, key)])]
    if isinstance(wanted, list):
        if not isinstance(given, list) or len(wanted) != len(given):
            return ["%s: list of %d became %r" % (path, len(wanted), given if not isinstance(given, list) else len(given))]
        given = in_order_of(wanted, given)
        return [line for i, (a, b) in enumerate(zip(wanted, given)) for line in missing(a, b, "%s[%d]" % (path, i))]
    return [] if wanted == given else ["%s: %r became %r" % (path, wanted, given)]


def in_order_of(wanted, given):
    """`given` sorted as `wanted` is: Ollama orders models of the same second at random."""
    for key in ("name", "id"):
        if all(isinstance(row, dict) and key in row for row in wanted + given):
            order = [row[key] for row in wanted]
            return sorted(given, key=lambda row: order.index(row[key]) if row[key] in order else len(order))
    return given


def shape(answer):
    """The keys of a JSON answer, or the text of another."""
    try:
        document = json.loads(answer.body)
    except ValueError:
        return answer.body

    def keys(item):
        return {key: keys(value) for key, value in sorted(item.items())} if isinstance(item, dict) else None
    return keys(document)
